# Takes in bytes that were announced.
# It never waits for more than were announced where their end cannot be seen.
#
# A part of put, bundle and start, whose arguments may begin with `inbox=FILE`. Needs prelude.sh before it.
# shellcheck shell=sh disable=SC2154 # prelude.sh sets terminal

# Where the server gives commands no stdin, SFTP has brought a file that is read in its place. Whatever becomes of it, it goes.
inbox=
case ${1-} in
    inbox=/*)
        inbox=${1#inbox=}
        shift
        if [ -f "$inbox" ] && [ ! -h "$inbox" ]; then exec <"$inbox"; else exec </dev/null; fi
        trap empty_inbox EXIT
        ;;
esac

empty_inbox() { # an own directory stays as long as something else is in it
    rm -f "$inbox"
    rmdir "${inbox%/*}" 2>/dev/null
}

# A terminal has no end, so its bytes are counted; and it gives them in pieces, each of which dd takes for a block. So one dd
# never takes more than are due, and the next takes what is left.
incoming() { # COUNT FILE: appends them to it
    if [ -n "$inbox" ] && { [ -h "$inbox" ] || [ ! -f "$inbox" ]; }; then fail no_inbox "$inbox"; fi
    if [ -z "$terminal" ]; then
        cat >>"$2"
        return
    fi
    : >>"$2" || return 1
    size_of "$2"
    whole=$((bytes + $1)) due=$1
    while [ "$due" -gt 0 ]; do
        block=4096 before=$due
        if [ "$due" -lt "$block" ]; then block=$due; fi
        dd bs="$block" count=$((due / block)) 2>/dev/null >>"$2" || return 1
        size_of "$2"
        due=$((whole - bytes))
        # The terminal is gone.
        [ "$due" -lt "$before" ] || return 0
    done
}
