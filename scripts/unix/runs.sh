# Takes away the directories of old runs, so that a host which is restarted every day does not fill up with them.
# It never touches a living run, or a file that is not in a run's directory.
#
# A part of runner and cleanup. Needs prelude.sh, clock.sh and process.sh before it, and state_dir and keep_runs set.
# shellcheck shell=sh disable=SC2154,SC2034 # both are set by the program; the rest of a line is read past

# A run with an exit file is over, although its process may need a moment more to end.
run_alive() { # RUN_ID
    [ ! -f "$state_dir/runs/$1/exit" ] && [ -s "$state_dir/runs/$1/pid" ] &&
        read -r pid mark rest <"$state_dir/runs/$1/pid" && alive "$pid" "$mark" "$1"
}

prune_runs() {
    kept=0 living=
    # shellcheck disable=SC2045 # the names are run ids: letters, digits, - and _; find cannot sort by time
    for old in $(ls -t "$state_dir/runs" 2>/dev/null); do
        case $old in *[!A-Za-z0-9_-]*) continue ;; esac
        # The runner that asks lives.
        if [ "$old" = "${run_id-}" ] || run_alive "$old"; then
            # shellcheck disable=SC2034 # not every program reads it
            living=yes
        elif [ "$kept" -ge "$keep_runs" ]; then
            rm -rf "$state_dir/runs/$old"
        fi
        kept=$((kept + 1))
    done
}
