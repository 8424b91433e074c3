# Says what the Bourne shell would not take, as it would say it, and ends with its exit code. What is in single quotes, a
# comment or a quoted here-document is data.
{ text = text $0 "\n" }

function refuse(words, code) {
    printf "%s: %s\n", shell, words | "cat 1>&2"
    close("cat 1>&2")
    refused = 1
    exit code
}

function unexpected(what) { refuse("syntax error at line " line ": `" what "' unexpected", 2) }

# The word that has just ended, unquoted as far as it matters.
function ended(   name) {
    if (!inside) return
    inside = 0
    count++
    if (first) {
        if (word ~ /^[A-Za-z_][A-Za-z0-9_]*=/) { word = ""; quoted = 0; return }
        command = word
        first = 0
        count = 1
        if (word ~ /^(if|then|else|elif|while|until|do|\{)$/) first = 1
        else if (word == "!") refuse("!: not found", 127)
        else if (word ~ /^(local|typeset|declare|function|source|let|alias|select|\[\[|command)$/) refuse(word ": not found", 127)
    } else if (command == "case" && word == "in") patterns = 1
    else if (command ~ /^(export|readonly)$/ && word ~ /=/) refuse(word ": is not an identifier", 1)
    else if (command ~ /^(test|\[)$/ && word ~ /^-(e|nt|ot|ef|O|G|S)$/ && !quoted) refuse("test: argument expected", 1)
    else if (command ~ /^(test|\[)$/ && word == "==") refuse("test: unknown operator ==", 1)
    else if (command == "read" && word ~ /^-/) refuse(word ": is not an identifier", 1)
    else if (command == "trap" && word ~ /^(EXIT|ERR|HUP|INT|QUIT|TERM|USR1|USR2|PIPE|CHLD)$/) refuse("trap: bad trap", 1)
    else if (command == "cd" && word == "-") refuse("-: does not exist", 1)
    else if (command == "echo" && count == 2 && word ~ /^-[neE]+$/) refuse("echo " word " prints " word, 1)
    else if (command ~ /^(set|umask|unset)$/ && word ~ /^-(o|S|f|v)$/) refuse(word ": bad option(s)", 1)
    if (!quoted && word ~ /^~/) refuse(word ": the tilde is a character", 1)
    word = ""
    quoted = 0
}

function separate() { ended(); first = 1; count = 0; command = ""; quoted = 0 }

function dollar(at,   after, rest) {
    after = substr(text, at + 1, 1)
    if (after == "(") unexpected("$(")
    if (after == "'") unexpected("$'")
    if (after == "{") {
        rest = substr(text, at + 2)
        if (rest !~ /^([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])(\}|:?[-=?+])/) refuse("bad substitution", 1)
    }
}

# Skips the bodies of here-documents that begin on the next line.
function documents(at,   i, body, quoted_body, length_of_line, this) {
    for (i = 1; i <= waiting; i++) {
        while (at <= size) {
            length_of_line = index(substr(text, at), "\n")
            this = substr(text, at, length_of_line - 1)
            at += length_of_line
            line++
            if (strip[i]) sub(/^\t+/, "", this)
            if (this == mark[i]) break
            if (!data[i] && this ~ /\$\(|\$\{[A-Za-z_0-9]+[#%\/]/) refuse("bad substitution", 1)
        }
    }
    waiting = 0
    return at
}

END {
    if (refused) exit
    size = length(text); line = 1; first = 1; double = 0
    for (i = 1; i <= size; i++) {
        c = substr(text, i, 1)
        if (c == "\n") line++
        if (patterns && c !~ /[ \t\n]/) {
            if (c == "(") unexpected("(")
            patterns = 0
        }
        if (double) {
            if (c == "\\") { i++; continue }
            if (c == "\"") { double = 0; continue }
            if (c == "$") dollar(i)
            continue
        }
        if (c == "'") {
            inside = 1; quoted = 1
            stop = index(substr(text, i + 1), "'")
            if (!stop) refuse("syntax error at line " line ": `end of file' unexpected", 2)
            piece = substr(text, i + 1, stop)
            line += gsub(/\n/, "\n", piece)
            i += stop
            continue
        }
        if (c == "\\") {
            if (substr(text, ++i, 1) == "\n") { line++; continue }
            inside = 1; quoted = 1
            word = word substr(text, i, 1)
            continue
        }
        if (c == "\"") { if (!inside) quoted = 1; inside = 1; double = 1; word = word "\""; continue }
        if (c == "#" && !inside) { while (substr(text, i + 1, 1) != "\n") i++; continue }
        if (c == " " || c == "\t") { ended(); continue }
        if (c == "$") {
            dollar(i)
            inside = 1
            word = word c
            if (substr(text, i + 1, 1) == "{") { brace++; i++; word = word "{" }
            else if (substr(text, i + 1, 1) ~ /[#!]/) i++
            continue
        }
        if (c == "}" && brace) { brace--; word = word c; continue }
        if (c == "^" && !bracket) refuse(substr(text, i + 1, 1) ": not found, as ^ is |", 127)
        if (c == "[" && inside) bracket = 1
        if (c == "]") bracket = 0
        if (c == "`") {
            if (ticked) {
                ended()
                command = outer_command; first = outer_first; count = outer_count; word = outer_word
                inside = 1
            } else {
                outer_command = command; outer_first = first; outer_count = count; outer_word = word
                inside = 0; word = ""; separate()
            }
            ticked = !ticked
            continue
        }
        if (c == "\n") {
            separate()
            if (waiting) i = documents(i + 1) - 1
            continue
        }
        if (c == "<" && substr(text, i + 1, 1) == "<") {
            ended()
            if (substr(text, i + 2, 1) == "<") unexpected("<")
            rest = substr(text, i + 2); waiting++
            strip[waiting] = sub(/^-/, "", rest)
            match(rest, /^[ \t]*[^ \t\n;|&<>)]+/)
            delimiter = substr(rest, 1, RLENGTH)
            sub(/^[ \t]*/, "", delimiter)
            data[waiting] = gsub(/['"\\]/, "", delimiter)
            mark[waiting] = delimiter
            i += 1 + strip[waiting] + RLENGTH
            continue
        }
        if (c == "(") {
            if (substr(text, i + 1, 1) == "(") unexpected("(")
            separate(); continue
        }
        if (c == "&" && substr(text, i + 1, 1) == ">") unexpected(">")
        if (c == "|" && substr(text, i + 1, 1) == "&") unexpected("&")
        if (c == ";" && substr(text, i + 1, 1) == ";") { separate(); patterns = 1; i++; continue }
        if (c == ">" || c == "<") {
            if (word ~ /^[0-9]$/) { word = ""; inside = 0 } else ended()
            if (substr(text, i + 1, 1) == "&") i++
            else if (substr(text, i + 1, 1) == ">") i++
            continue
        }
        if (index(";|&)", c)) { separate(); continue }
        inside = 1
        word = word c
    }
    separate()
    exit 0
}

