# The state directory: whose it is, and what room is left in it.
# It never trusts a directory that somebody else could have put there, and never writes a file.
#
# A part of put, bundle and start. Needs prelude.sh before it.

# Whoever can swap a directory of the state for a link decides what root writes and runs.
own_dir() { # DIR
    [ -h "$1" ] && fail state_refused "$1 is a symbolic link"
    [ -d "$1" ] || mkdir "$1" 2>/dev/null || [ -d "$1" ] || fail state_refused "$1 cannot be made"
    # shellcheck disable=SC2012 # find -user and stat -c are not everywhere; the owner is a number without blanks
    owner=$(ls -ldn "$1" | tr -s ' ' | cut -d ' ' -f 3)
    [ "$owner" = "$(id -u)" ] || fail state_refused "$1 belongs to user $owner"
    chmod 700 "$1" || fail state_refused "$1 cannot be closed to others"
}

own_state() { # STATE: the directory and the three that everything else lies in
    case $1 in /*/*) ;; *) fail bad_argument "state directory $1" ;; esac
    case $1/ in */../* | */./* | *//*) fail bad_argument "state directory $1" ;; esac
    [ -d "${1%/*}" ] || (umask 022 && mkdir -p "${1%/*}") || fail state_refused "${1%/*} cannot be made"
    own_dir "$1"
    for part in blobs stage runs; do own_dir "$1/$part"; done
}

# Unknown room counts as plenty: the write itself will tell.
free_kb() { # PATH
    # shellcheck disable=SC2046 # split into the columns of df
    set -- $(df -kP "$1" 2>/dev/null | tail -n 1)
    # Ten digits are more than every shell counts to.
    case ${4-} in '' | *[!0-9]* | ??????????*) echo 999999999 ;; *) echo "$4" ;; esac
}
