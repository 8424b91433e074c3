# Streams the log of one run from a byte offset, and says at the end how the run ended.
# It never changes the run, never starts anything, and writes nothing but log bytes to stdout after the ready line.
#
# Arguments: STATE RUN_ID OFFSET. stdout: ready line, then raw bytes. stderr: beat, exit, missing, rebooted, lost.
# Needs prelude.sh, clock.sh, process.sh and log.sh before it.
# shellcheck disable=SC2154,SC2034 # log.sh sets size, clock.sh slept; the rest of a line is read past

run_alive() {
    [ -s "$run/pid" ] && read -r pid mark rest <"$run/pid" && alive "$pid" "$mark" "$run_id"
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
open_log

# In tenths of a second; one beat every 5 s. A look costs two processes, so it is the seldomer the longer nothing came.
since_beat=50 misses=0 quiet=0
while :; do
    before=$offset
    emit
    if [ "$offset" -gt "$before" ]; then quiet=0; fi
    if [ -f "$run/exit" ]; then
        emit
        read -r code <"$run/exit"
        control "exit=$code $size"
        exit 0
    fi
    if [ "$since_beat" -ge 50 ]; then
        since_beat=0
        control beat
        if [ -f "$run/boot" ] && rebooted_since "$run/boot"; then end rebooted; fi
        if run_alive; then
            misses=0
        else
            misses=$((misses + 1))
            # It may have ended between the look at `exit` and the look at the process.
            if [ "$misses" -ge 2 ] && [ ! -f "$run/exit" ]; then end lost; fi
        fi
    fi
    next=$((2 + quiet / 10))
    if [ "$next" -gt 9 ]; then next=9; fi
    pause "$next"
    since_beat=$((since_beat + slept)) quiet=$((quiet + slept))
done
