# Sends the log of one run as it is now, or its end where it is longer than wanted.
# It never changes the run, never starts anything, and waits for nothing.
#
# Arguments: STATE RUN_ID MOST_BYTES. stdout: ready line, then raw bytes. stderr: size, or missing.
# Needs prelude.sh and log.sh before it.
# shellcheck disable=SC2034,SC2154 # log.sh reads offset, prelude.sh sets bytes

printf '\n@@lf:ready@@\n'
[ $# -eq 3 ] || fail bad_argument "3 arguments expected, $# given"
state_dir=$1 run_id=$2 most=$3
case $run_id in '' | *[!A-Za-z0-9_-]*) fail bad_argument "run id $run_id" ;; esac
case $most in '' | *[!0-9]*) fail bad_argument "bytes $most" ;; esac
run=$state_dir/runs/$run_id
printf '\n' >&2
if [ ! -d "$run" ]; then
    control missing
    exit 0
fi
offset=0
size_of "$run/log"
size=$bytes
[ "$size" -le "$most" ] || offset=$((size - most))
open_log
emit
control "size=$size"
