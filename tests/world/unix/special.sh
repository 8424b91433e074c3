# What a list of letters cannot tell of a tool. Read by guard.sh; a check exits, replaces the arguments, or lets pass.
# shellcheck shell=dash
# shellcheck disable=SC2016,SC2154 # dollars of awk; guard.sh sets tool, REAL and SYSTEM

# Runs the real tool and gives its output another form, with its own exit code.
reformed() { # AWK-PROGRAM ARGUMENT...
    program=$1
    shift
    said=$("$REAL" "$@" && printf .)
    code=$?
    said=${said%.}
    [ -z "$said" ] || printf '%s' "$said" | /.real/bin/awk "$program"
    exit "$code"
}

case $check in
test)
    for word in "$@"; do [ "$word" != == ] || refuse 'unknown operator ==' 1; done
    ;;
expr)
    case ${1:-}:${2:-} in
    *:[-+*/%\<\>=!:\&\|]*) ;;
    length:* | substr:* | index:* | match:*) refuse 'syntax error' ;;
    esac
    ;;
sleep)
    case ${1:-} in '' | *[!0-9]*) refuse "bad character in argument" ;; esac
    [ $# = 1 ] || refuse 'usage: sleep time'
    ;;
getconf)
    case $SYSTEM:${1:-} in
    AIX:KERNEL_BITMODE | AIX:HARDWARE_BITMODE) exec /.real/bin/bootinfo -K ;;
    SunOS:PATH) echo /usr/xpg4/bin:/usr/ccs/bin:/usr/bin:/opt/SUNWspro/bin && exit ;;
    esac
    ;;
dd)
    for word in "$@"; do
        case $word in
        if=* | of=*) ;;
        ibs=*[A-Zc] | obs=*[A-Zc] | bs=*[A-Zc] | count=*[A-Zc] | skip=*[A-Zc] | seek=*[A-Zc]) refuse "bad numeric argument: $word" ;;
        # On one of these systems it means no block, on another every block.
        count=0) refuse "bad numeric argument: $word" ;;
        ibs=* | obs=* | bs=* | cbs=* | skip=* | seek=* | count=*) ;;
        conv=*fsync* | conv=*fdatasync* | conv=*excl* | conv=*nocreat* | conv=*sparse*) refuse "bad arg: \"$word\"" ;;
        conv=*) ;;
        *) refuse "bad arg: \"$word\"" ;;
        esac
    done
    ;;
head | tail)
    case ${1:-} in
    +[0-9]*c) number=${1%c} && shift && set -- -c "$number" "$@" ;;
    +[0-9]*) number=${1%l} && shift && set -- -n "$number" "$@" ;;
    -[0-9]*c) number=${1%c} && shift && set -- -c "${number#-}" "$@" ;;
    -[0-9]*) number=${1%l} && shift && set -- -n "${number#-}" "$@" ;;
    esac
    ;;
otail)
    case ${1:-} in
    '') ;;
    [-+][0-9]*)
        unit=n number=$1 follow=
        case $number in *f) follow=-f number=${number%f} ;; esac
        case $number in *c) unit=c ;; *[br]) untaught "$1" ;; esac
        number=${number%[lc]}
        shift
        set -- "-$unit" "${number#-}" $follow "$@"
        ;;
    -f) ;;
    -*) refuse "$(printf 'usage: tail [+/-[n][lbc][f]] [file]\n       tail [+/-[n][l][r|f]] [file]')" ;;
    esac
    ;;
sort)
    for word in "$@"; do case $word in +[0-9]*) untaught "$word" ;; esac; done
    ;;
nice)
    case ${1:-} in -n | -[0-9]* | [!-]*) ;; *) illegal "${1#-}" ;; esac
    ;;
awk) ;;
oawk)
    for word in "$@"; do
        case $word in
        *func[t\ ]* | *sub\(* | *match\(* | *toupper\(* | *tolower\(* | *ENVIRON* | *close\(* | *system\(* | *getline* | *delete\ * | \
            *[!\[]\?*:* | *rand\(* | *atan2\(* | *FNR* | *SUBSEP* | *ARGV*)
            printf 'awk: syntax error near line 1\nawk: bailing out near line 1\n' >&2
            exit 2
            ;;
        esac
    done
    ;;
oid)
    case ${1:-} in
    -a) shift ;;
    *) reformed '{ sub(/ groups=.*/, ""); print }' "$@" ;;
    esac
    ;;
otr)
    # A range is one in brackets only, and what is not one means its characters.
    converted=
    for word in "$@"; do
        case $word in
        -[cds] | -cd | -cs | -ds | -cds) ;;
        *)
            word=$(printf '%s' "$word" | /.real/bin/awk 'BEGIN { RS = "\001" } {
                out = ""
                while (length($0)) {
                    if (match($0, /^\[:[a-z]*:\]/) || match($0, /^\[=.=\]/) || match($0, /^\[.\*[0-9]*\]/) ||
                        match($0, /^\\[0-7][0-7]?[0-7]?/)) {
                        out = out substr($0, 1, RLENGTH); $0 = substr($0, RLENGTH + 1)
                    } else if (match($0, /^\[(\\[0-7]+|.)-(\\[0-7]+|.)\]/)) {
                        out = out substr($0, 2, RLENGTH - 2); $0 = substr($0, RLENGTH + 1)
                    } else if (substr($0, 1, 1) == "\\") {
                        out = out substr($0, 1, 2); $0 = substr($0, 3)
                    } else if (substr($0, 1, 1) == "-") {
                        out = out "\\-"; $0 = substr($0, 2)
                    } else {
                        out = out substr($0, 1, 1); $0 = substr($0, 2)
                    }
                }
                printf "%s", out
            }' && printf .) && word=${word%.}
            ;;
        esac
        [ -n "$converted" ] || { set -- && converted=yes; }
        set -- "$@" "$word"
    done
    ;;
pattern)
    for word in "$@"; do
        case $tool:$word in
        fgrep:*) ;;
        *\\[\|+?wWbBs\<\>]*) case $tool:$word in egrep:*\\[\|+?]*) ;; *) untaught "$word, which is GNU's" ;; esac ;;
        esac
    done
    ;;
sed)
    for word in "$@"; do case $word in *\\[\|+?wWbB]*) untaught "$word, which is GNU's" ;; esac; done
    set -- --posix "$@"
    ;;
date)
    case $SYSTEM in
    AIX) unknown=N ;;
    *) unknown=sN ;;
    esac
    count=$#
    while [ "$count" -gt 0 ]; do
        word=$1
        shift
        case $word in
        +*) word=$(printf '%s' "$word" | /.real/bin/sed "s/%\([$unknown]\)/%%\1/g") ;;
        -*) ;;
        # Setting the clock.
        *) refuse 'bad conversion' 1 ;;
        esac
        set -- "$@" "$word"
        count=$((count - 1))
    done
    ;;
wc)
    columns=3
    case ${1:-} in
    -?*)
        letters=${1#-}
        case $letters in *C*) letters=$(printf '%s' "$letters" | /.real/bin/tr C m) ;; esac
        columns=${#letters}
        shift
        set -- "-$letters" "$@"
        ;;
    esac
    reformed '{
        line = $0
        for (i = 1; i <= '"$columns"'; i++) { sub(/^ */, "", line); printf " %7d", line; sub(/^[0-9]*/, "", line) }
        print line
    }' "$@"
    ;;
which)
    for word in "$@"; do
        # It says so, and is content.
        command -v "$word" 2>/dev/null || printf 'no %s in %s\n' "$word" "$(printf '%s' "$PATH" | /.real/bin/tr : ' ')"
    done
    exit 0
    ;;
umount)
    # -l is for who starts the host, once.
    [ "${1:-}" != -l ] || [ "${2:-}" = /mnt ] || illegal l
    ;;
*)
    # shellcheck source-path=SCRIPTDIR source=shapes.sh
    . /.real/shapes.sh
    ;;
esac
