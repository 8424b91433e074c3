# Takes away what a finished task no longer needs in the state directory.
# It never touches a living run, history.log, the lock, or anything outside of the state directory.
#
# Arguments: STATE TASK KEEP_RUNS KEEP_BLOBS MODE. KEEP_BLOBS is one argument: SHA-256 names parted by blanks, or empty.
# MODE keep spares the blobs of KEEP_BLOBS; purge (after an uninstall) takes all blobs and the whole stage.
# Needs prelude.sh, clock.sh, process.sh and runs.sh before it.
# shellcheck disable=SC2154 # runs.sh sets living

listed() { # SHA256
    case " $keep_blobs " in *" $1 "*) return 0 ;; esac
    return 1
}

prune_blobs() {
    for blob in "$state_dir"/blobs/*; do
        listed "${blob##*/}" || rm -rf "$blob"
    done
    # A broken upload stays to be resumed until a later one went through.
    for partial in "$state_dir"/blobs/.*.part; do
        [ -f "$partial" ] || continue
        if [ -n "$(find "$state_dir/blobs" -type f -newer "$partial" -name '[0-9a-f]*')" ]; then rm -f "$partial"; fi
    done
}

printf '\n@@lf:ready@@\n'
[ $# -eq 5 ] || fail bad_argument "5 arguments expected, $# given"
state_dir=$1 task=$2 keep_runs=$3 keep_blobs=$4 mode=$5
case $state_dir in /*/*) ;; *) fail bad_argument "state directory $state_dir" ;; esac
case $state_dir/ in */../* | */./* | *//*) fail bad_argument "state directory $state_dir" ;; esac
case $task in *[!A-Za-z0-9_-]* | '') fail bad_argument "task $task" ;; esac
case $keep_runs in '' | *[!0-9]*) fail bad_argument "number of runs $keep_runs" ;; esac
case $mode in keep | purge) ;; *) fail bad_argument "mode $mode" ;; esac
[ ! -h "$state_dir" ] || fail state_refused "$state_dir is a symbolic link"

rm -rf "$state_dir/stage/$task" "$state_dir/stage/$task"-* "$state_dir/stage/$task".new-*
prune_runs
if [ "$mode" = keep ]; then
    prune_blobs
elif [ -z "$living" ]; then
    # A run that lives belongs to another task, which still needs its files; its own cleanup comes later.
    rm -rf "$state_dir/blobs" "$state_dir/stage"
fi
echo '@@lf:done@@'
