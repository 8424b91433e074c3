# Writes text of this machine as JSON, by sed alone.
# It never loses a quote, a backslash or a control character, and passes every other byte as it is.
#
# A part of manual. Needs prelude.sh before it.

json_rules() { # FILE: what the functions below are called with
    {
        printf '%s\n' 's/\\/\\\\/g' 's/"/\\"/g'
        code=1
        while [ "$code" -le 31 ]; do
            # Lines end by 10. The character itself stands in the rule: no sed but GNU's knows a name for it.
            octal=$(printf '%03o' "$code")
            # shellcheck disable=SC2059 # the format is made here
            [ "$code" -eq 10 ] || printf "s/\\$octal/\\\\\\\\u%04x/g\n" "$code"
            code=$((code + 1))
        done
    } >"$1"
}

json_text() { # RULES, stdin = text: the inside of one string
    tr -d '\000' | sed -f "$1" | sed -e 's/$/\\n/' | tr -d '\n'
}

json_line() { # RULES TEXT: the same of one line
    # With a newline at the end: some sed say of what has none that it is missing.
    { put_line "$2" | tr -d '\000' | tr '\n' ' ' && echo; } | sed -f "$1" | sed -e 's/ *$//'
}

# A line of a run (scripts/README.md) is told by its parts, any other as it is.
json_lines() { # RULES, stdin = lines of a log: objects with commas between them
    tr -d '\000' | sed -f "$1" | sed \
        -e 's/^\([0-9][0-9-]* [0-9][0-9:]*\) \([A-Z][A-Z]*\) \([a-z][a-z_]*\) \([A-Z-][A-Z]*\) \(.*\)$/{"timestamp":"\1","level":"\2","step":"\3","status":"\4","log":"\5"}/' \
        -e t \
        -e 's/^.*$/{"log":"&"}/' | sed -e '$!s/$/,/'
}
