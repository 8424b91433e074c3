# Receives several small files from one stream into a new directory: all of them, or none.
# It never leaves a half-written directory under the final name, and never writes outside of it.
#
# A part of bundle and start. Needs prelude.sh, state.sh and stdin.sh before it.
# shellcheck shell=sh disable=SC2154 # prelude.sh sets bytes and free

check_triples() { # NAME MODE SIZE ...: sets total
    total=0
    while [ $# -gt 0 ]; do
        [ $# -ge 3 ] || fail bad_argument "the files come as NAME MODE SIZE"
        case /$1/ in // | */../* | */./* | *//*) fail bad_name "$1" ;; esac
        case $2 in '' | *[!0-7]*) fail bad_argument "mode $2 of $1" ;; esac
        case $3 in '' | *[!0-9]*) fail bad_argument "size $3 of $1" ;; esac
        total=$((total + $3))
        shift 3
    done
}

# stdin is a regular file here, so one read gives one full block, and the next dd goes on where this one ended.
# Blocks of 1 MiB: a block as large as the file would need that much memory.
take_bytes() { # COUNT FILE
    : >"$2" || return 1
    blocks=$(($1 / 1048576)) rest=$(($1 % 1048576))
    if [ "$blocks" -gt 0 ]; then dd bs=1048576 count="$blocks" 2>/dev/null >>"$2" || return 1; fi
    if [ "$rest" -gt 0 ]; then dd bs="$rest" count=1 2>/dev/null >>"$2" || return 1; fi
    size_of "$2"
    [ "$bytes" -eq "$1" ]
}

split_tree() { # TREE NAME MODE SIZE ..., stdin = the bytes
    tree=$1
    shift
    while [ $# -gt 0 ]; do
        case $1 in */*) mkdir -p "$tree/${1%/*}" || return 1 ;; esac
        take_bytes "$3" "$tree/$1" || return 1
        # The umask has made it so.
        case $2 in 600 | 0600) ;; *) chmod "$2" "$tree/$1" || return 1 ;; esac
        shift 3
    done
}

out_of_room() { # DIR TEXT: names the reason of a failed write, and leaves nothing behind
    free_kb "${1%/*}"
    rm -rf "$1"
    [ "$free" -ge 64 ] || fail no_space "${1%/*} has $free kB free"
    fail write_failed "$2"
}

receive() { # DIR NAME MODE SIZE ..., stdin = the files' bytes one after another
    dir=$1
    shift
    check_triples "$@"
    case $dir in /*/stage/?*) own_state "${dir%/stage/*}" ;; *) own_dir "${dir%/*}" ;; esac
    # What an earlier, broken try left. One that still waits for its bytes then ends as short.
    for old in "$dir".new-*; do if [ -e "$old" ]; then rm -rf "$old"; fi; done
    new=$dir.new-$$
    mkdir "$new" "$new/tree" || out_of_room "$new" "$new cannot be made"
    incoming "$total" "$new/incoming" || out_of_room "$new" "$new/incoming"
    size_of "$new/incoming"
    if [ "$bytes" -ne "$total" ]; then
        rm -rf "$new"
        fail short "$bytes of $total"
    fi
    split_tree "$new/tree" "$@" <"$new/incoming" || out_of_room "$new" "$new/tree"
    if [ -e "$dir" ] || [ -h "$dir" ]; then rm -rf "$dir"; fi
    # A directory that could not be removed would swallow the new one.
    [ -e "$dir" ] && out_of_room "$new" "$dir cannot be replaced"
    mv "$new/tree" "$dir" || out_of_room "$new" "$dir cannot be named"
    rm -rf "$new"
}
