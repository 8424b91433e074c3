# The state directory, and whose it is.
# It never trusts a directory that somebody else could have put there, and never writes a file.
#
# A part of put, bundle and start. Needs prelude.sh before it.

# Whoever can swap a directory of the state for a link decides what root writes and runs.
me=
own_dir() { # DIR
    [ -h "$1" ] && fail state_refused "$1 is a symbolic link"
    [ -d "$1" ] || mkdir "$1" 2>/dev/null || [ -d "$1" ] || fail state_refused "$1 cannot be made"
    me=${me:-$(id -u)}
    # shellcheck disable=SC2012,SC2046 # split into columns; find -user and stat -c are not everywhere
    set -- "$1" $(ls -ldn "$1")
    [ "${4-}" = "$me" ] || fail state_refused "$1 belongs to user ${4-}"
    case $2 in
        drwx------ | drwx------.) ;;
        *) chmod 700 "$1" || fail state_refused "$1 cannot be closed to others" ;;
    esac
}

own_state() { # STATE: the directory and the three that everything else lies in
    case $1 in /*/*) ;; *) fail bad_argument "state directory $1" ;; esac
    case $1/ in */../* | */./* | *//*) fail bad_argument "state directory $1" ;; esac
    [ -d "${1%/*}" ] || (umask 022 && mkdir -p "${1%/*}") || fail state_refused "${1%/*} cannot be made"
    own_dir "$1"
    for part in blobs stage runs; do own_dir "$1/$part"; done
}
