# Sends the log of a run from a byte offset on, exactly as far as it says.
# It never writes anything but log bytes to stdout, and no words but its own to stderr.
#
# A part of follow and collect. Needs prelude.sh before it, and run and offset set.
# shellcheck shell=sh disable=SC2154 # they are set by the program and prelude.sh

open_log() { # from offset on
    if [ -f "$run/log" ]; then exec 3<"$run/log"; else exec 3</dev/null; fi
    skip_bytes "$offset" <&3
}

# Every dd goes on where the last one ended, because they share one open file. Exactly `size - offset` bytes leave:
# cat would also send what is appended meanwhile, and the offset would be unknown.
emit() {
    size_of "$run/log"
    size=$bytes
    while [ "$offset" -lt "$size" ]; do
        blocks=$(((size - offset) / 65536)) block=65536
        if [ "$blocks" -eq 0 ]; then blocks=1 block=$((size - offset)); fi
        # What is not parted by streams is told apart by its length.
        if [ -n "$terminal" ]; then control "data=$((block * blocks))"; fi
        # Nobody reads any more.
        dd bs="$block" count="$blocks" <&3 2>/dev/null || exit 0
        offset=$((offset + block * blocks))
    done
}

control() { # WORD
    put_line "@@lf:$1@@" >&2 || exit 0
}
