# The tools whose arguments are a language of their own, or whose output has the platform's form. Read by special.sh.
# shellcheck shell=dash
# shellcheck disable=SC2016,SC2154 # dollars of awk; guard.sh sets tool, REAL and SYSTEM

# Of `-o` only POSIX's names, and no list in which a header is left out half way: `pid=,args=` is pid under the header `,args=`.
ps_columns() { # LIST
    case $1 in *=*,*) refuse "-o $1: the header of a column goes on to the end of the argument" 1 ;; esac
    rest=${1%%=*},
    while [ -n "$rest" ]; do
        case ${rest%%,*} in
        ruser | user | rgroup | group | pid | ppid | pgid | pcpu | vsz | nice | etime | time | tty | comm | args) ;;
        *) refuse "unknown output format: -o ${rest%%,*}" 1 ;;
        esac
        last=${rest%%,*}
        rest=${rest#*,}
    done
}

ps_checked() {
    last=
    while [ $# -gt 0 ]; do
        case $1 in
        -o) ps_columns "${2:-}" && shift ;;
        -o*) ps_columns "${1#-o}" ;;
        -[ptuUgGn]) shift ;;
        -[ptuUgGn]*) ;;
        -*[!AadefloptuUgGn-]* | --*) illegal "$(printf '%s' "${1#-}" | /.real/bin/tr -d AadefloptuUgG | /.real/bin/cut -c 1)" ;;
        -*[fl]*) last=args ;;
        -*) ;;
        *) refuse "illegal argument $1" 1 ;;
        esac
        [ $# = 0 ] || shift
    done
}

find_checked() {
    case ${1:-} in -[HL]) shift ;; esac
    case ${1:-} in '' | -* | \( | !) refuse 'path-list predicate-list' 1 ;; esac
    while [ $# -gt 0 ]; do
        case $1 in
        -exec | -ok) while [ $# -gt 1 ] && [ "$1" != \; ] && [ "$1" != + ]; do shift; done ;;
        -[acm]time | -fstype | -group | -inum | -links | -name | -newer | -perm | -size | -type | -user) [ $# -lt 2 ] || shift ;;
        -depth | -follow | -ls | -mount | -nogroup | -nouser | -print | -prune | -xdev | -a | -o) ;;
        -*) refuse "bad option $1" 1 ;;
        esac
        shift
    done
}

# AIX takes options after the first word, too.
tar_checked() {
    key=${1:-} first=yes function=
    while [ -n "$key" ]; do
        key=${key#-} file=
        while [ -n "$key" ]; do
            letter=${key%"${key#?}"}
            key=${key#?}
            case $letter in
            [crtux]) function=$letter ;;
            [fbX]) file=$file. ;;
            [vmophwB]) ;;
            C)
                case $SYSTEM:$first:$function in
                AIX::[cru]) ;;
                *) refuse "C: unknown function modifier" 1 ;;
                esac
                ;;
            *)
                [ "$SYSTEM" != AIX ] || refuse "Not a recognized flag: $letter" 1
                refuse "$letter: unknown function modifier" 1
                ;;
            esac
        done
        first=
        shift
        while [ -n "$file" ]; do
            [ $# = 0 ] || shift
            file=${file#.}
        done
        key=
        case $SYSTEM:${1:-} in AIX:-?*) key=$1 ;; esac
    done
    case $function in
    '') refuse 'usage: tar {c|r|t|u|x}[bBfhmopvwX] [file...]' 1 ;;
    # With c and r it changes the directory.
    [xt]) for word in "$@"; do [ "$word" != -C ] || refuse "$word with $function is GNU's" 1; done ;;
    esac
}

case $check in
ps)
    # BSD's way, for what it alone tells: the environment.
    case $SYSTEM:${1:-} in AIX:e | AIX:[ae]*[ew]w*) exec "$REAL" "$@" ;; esac
    ps_checked "$@"
    if [ "$last" = comm ]; then
        said=$("$REAL" -ww "$@" -o state=)
        code=$?
        printf '%s\n' "$said" | /.real/bin/awk '$NF == "Z" { sub(/[^ ]* +Z$/, "<defunct>") } { sub(/ +[A-Z]$/, ""); print }'
        exit "$code"
    fi
    case $SYSTEM:$last in
    SunOS:args) ;;
    *) exec "$REAL" -ww "$@" ;;
    esac
    # The kernel keeps 80 characters of a command line. Where its column begins, the header tells.
    header=yes count=$#
    while [ "$count" -gt 0 ]; do
        word=$1
        shift
        case $word in
        args= | -oargs=) word=${word%=} header= ;;
        *,args= | args=* | *,args=* | -oargs=*) untaught "-o $word" ;;
        esac
        set -- "$@" "$word"
        count=$((count - 1))
    done
    said=$("$REAL" -ww "$@")
    code=$?
    printf '%s\n' "$said" | /.real/bin/awk -v header="$header" '
        NR == 1 { start = match($0, /(COMMAND|CMD)$/) ; if (header != "") print; next }
        { print substr($0, 1, start + 79) }'
    exit "$code"
    ;;
uname)
    # -n is the only one that is not the table's.
    untaught "$*"
    ;;
who)
    case "$*" in
    -b) read -r boot </.real/run/boot && printf '   .        system boot  %s\n' "$boot" ;;
    '') ;;
    'am i') ;;
    -r) read -r boot </.real/run/boot && printf '   .        run-level 3  %s     3      0  S\n' "$boot" ;;
    *) untaught "$*" ;;
    esac
    exit 0
    ;;
df)
    # Without -P, AIX has other columns and Solaris another form altogether.
    case $SYSTEM:$* in
    AIX:-*P*) ;;
    AIX:*) untaught "$* without -P" ;;
    esac
    case $SYSTEM:$* in
    SunOS:-*P*) ;;
    SunOS:*)
        case ${1:-} in -k) ;; *) untaught "$* without -k" ;; esac
        reformed 'NR == 1 { print "Filesystem            kbytes    used   avail capacity  Mounted on"; next }
            { name = $1; if (length(name) > 20) { print name; name = "" }
              printf "%-20s %9s %7s %7s  %4s    %s\n", name, $2, $3, $4, $5, $6 }' -P "$@"
        ;;
    esac
    ;;
xargs)
    expected=
    for word in "$@"; do
        if [ -n "$expected" ]; then
            expected=
            continue
        fi
        case $word in
        -[InsELe]) expected=yes ;;
        -[txp] | -[InsELile]?* | -[ile]) ;;
        -*) illegal "$(printf '%s' "${word#-}" | /.real/bin/cut -c 1)" ;;
        *) break ;;
        esac
    done
    ;;
find) find_checked "$@" ;;
tar)
    tar_checked "$@"
    TAR_OPTIONS=--format=ustar
    export TAR_OPTIONS
    ;;
*) untaught "the check $check" ;;
esac
