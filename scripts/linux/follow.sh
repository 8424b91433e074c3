# Streams the log of one run from a byte offset, and says at the end how the run ended.
# It never changes the run, never starts anything, and writes nothing but log bytes to stdout after the ready line.
#
# Arguments: STATE RUN_ID OFFSET. stdout: ready line, then raw bytes. stderr: beat, exit, missing, rebooted, lost.
# Needs prelude.sh and process.sh before it.

run_alive() {
    [ -s "$run/pid" ] && read -r pid mark _ <"$run/pid" && alive "$pid" "$mark" "$run_id"
}

# Every dd goes on where the last one ended, because they share one open file. Exactly `size - offset` bytes leave:
# cat would also send what is appended meanwhile, and the offset would be unknown.
emit() {
    size=$(size_of "$run/log")
    while [ "$offset" -lt "$size" ]; do
        blocks=$(((size - offset) / 65536)) block=65536
        if [ "$blocks" -eq 0 ]; then blocks=1 block=$((size - offset)); fi
        # Nobody reads any more.
        dd bs="$block" count="$blocks" <&3 2>/dev/null || exit 0
        offset=$((offset + block * blocks))
    done
}

control() { # WORD
    printf '@@lf:%s@@\n' "$1" >&2 || exit 0
}

end() { # WORD
    emit
    control "$1"
    exit 0
}

printf '\n@@lf:ready@@\n'
[ $# -eq 3 ] || fail bad_argument "3 arguments expected, $# given"
state_dir=$1 run_id=$2 offset=$3
case $run_id in '' | *[!A-Za-z0-9_-]*) fail bad_argument "run id $run_id" ;; esac
case $offset in '' | *[!0-9]*) fail bad_argument "offset $offset" ;; esac
run=$state_dir/runs/$run_id
printf '\n' >&2
if [ ! -d "$run" ]; then
    control missing
    exit 0
fi
if [ -f "$run/log" ]; then exec 3<"$run/log"; else exec 3</dev/null; fi
# bs=1 makes skip a byte count; with count=0 it is one seek.
if [ "$offset" -gt 0 ]; then dd bs=1 skip="$offset" count=0 <&3 2>/dev/null; fi

# 25 × 0.2 s or 5 × 1 s: one beat every 5 s.
if sleep 0.2 2>/dev/null; then nap=0.2 per_beat=25; else nap=1 per_beat=5; fi
tick=0 misses=0
while :; do
    emit
    if [ -f "$run/exit" ]; then
        emit
        read -r code <"$run/exit"
        control "exit=$code $size"
        exit 0
    fi
    if [ "$tick" -eq 0 ]; then
        control beat
        if [ -f "$run/boot" ] && [ "$(cat "$run/boot")" != "$(boot_id)" ]; then end rebooted; fi
        if run_alive; then
            misses=0
        else
            misses=$((misses + 1))
            # It may have ended between the look at `exit` and the look at the process.
            if [ "$misses" -ge 2 ] && [ ! -f "$run/exit" ]; then end lost; fi
        fi
    fi
    tick=$(((tick + 1) % per_beat))
    sleep "$nap"
done
