# Stands where the platform's program stands: refuses what that one refuses, and hands the rest on to the real one in
# /.real/bin. Read by two lines at each tool's place, which set `tool`, `options` and `check`. It never lets an
# option through that its table does not name: what a table forgot is refused loudly, not done the GNU way.
# shellcheck shell=dash
# shellcheck disable=SC2154 # the place sets them
REAL=/.real/bin/$tool
POSIXLY_CORRECT=1
export POSIXLY_CORRECT
read -r SYSTEM </.real/system

refuse() { # TEXT [CODE]: as the platform says it
    printf '%s: %s\n' "$tool" "$1" >&2
    exit "${2:-2}"
}

untaught() { # TEXT: the platform may know it, this stand-in does not
    printf '%s: this test host does not know: %s\n' "$tool" "$1" >&2
    exit 127
}

illegal() { # LETTER
    case $SYSTEM in
    AIX) refuse "Not a recognized flag: $1" ;;
    *) refuse "illegal option -- $1" ;;
    esac
}

checked() { # ARGUMENT...
    case $tool:${1:-} in
    # Older than getopt.
    head:-[0-9]* | tail:-[0-9]* | split:-[0-9]*) return ;;
    pkill:-[0-9]* | pkill:-HUP | pkill:-INT | pkill:-KILL | pkill:-TERM) shift ;;
    esac
    OPTIND=1
    while getopts ":${options#-}" letter; do
        case $letter in
        \?) illegal "$OPTARG" ;;
        :) refuse "option requires an argument -- $OPTARG" ;;
        esac
    done
}

[ "$options" = '*' ] || checked "$@"
# shellcheck source-path=SCRIPTDIR source=special.sh
[ -z "$check" ] || . /.real/special.sh
exec "$REAL" "$@"
