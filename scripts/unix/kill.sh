# Ends a run and whatever it started in its group; or sees to it that one that has not begun yet never will.
# It never touches a process that does not name the run.
#
# Arguments: STATE RUN_ID. Needs prelude.sh, clock.sh, process.sh, family.sh and lock.sh before it.
# shellcheck disable=SC2154,SC2034 # clock.sh sets slept, lock.sh highest; the rest of a line is read past

living() { # PID ...: those of them that still run
    for one in "$@"; do
        if process_facts "$one"; then printf '%s ' "$one"; fi
    done
}

kill_run() {
    # A start that is still on its way finds the directory, and starts nothing.
    if mkdir "$run" 2>/dev/null; then
        mkdir "$run/claim" && boot_id && printf '%s\n' "$boot" >"$run/boot" && printf '%s\n' "$EXIT_TERMINATED" >"$run/exit"
        gone
    fi
    [ -d "$run" ] || gone
    tries=0
    while [ ! -s "$run/pid" ]; do
        # Not begun yet: whoever makes this directory first decides whether it ever will.
        if mkdir "$run/claim" 2>/dev/null || [ "$tries" -ge 20 ]; then gone; fi
        pause 1
        tries=$((tries + slept))
    done
    read -r pid mark pgid <"$run/pid"
    if rebooted_since "$run/boot"; then gone; fi
    if ! alive "$pid" "$mark" "$run_id"; then
        end_orphans "$run_id" "$pid" || gone
        members='' pgid=$pid
    elif [ "$pgid" = "$pid" ]; then
        members=
        if [ -d /run/systemd/system ]; then
            systemctl --no-block stop "landfall-$run_id.service" >/dev/null 2>&1
        fi
        kill -TERM "-$pid" 2>/dev/null
    else
        members=$(family "$pid") pgid=
        # shellcheck disable=SC2086 # a list of pids
        kill -TERM $members 2>/dev/null
    fi
    wait_gone 30 && killed
    if [ -n "$pgid" ]; then kill -KILL "-$pgid" 2>/dev/null; else
        # shellcheck disable=SC2086 # a list of pids
        kill -KILL $members 2>/dev/null
    fi
    wait_gone 20 && killed
    echo '@@lf:alive@@'
    exit 0
}

wait_gone() { # TENTHS
    tries=0
    while :; do
        # shellcheck disable=SC2086 # a list of pids
        if [ -n "$pgid" ]; then left=$(group_members "$pgid"); else left=$(living $members); fi
        if [ -z "$left" ]; then return 0; fi
        if [ "$tries" -ge "$1" ]; then return 1; fi
        pause 1
        tries=$((tries + slept))
    done
}

gone() {
    echo '@@lf:gone@@'
    exit 0
}

# A runner that was killed outright could not give the lock back.
killed() {
    find_lock
    if [ "$highest" -gt 0 ] && read -r holder rest <"$state_dir/lock.$highest" && [ "$holder" = "$run_id" ]; then
        mv -f "$run/released" "$state_dir/lock.$highest" 2>/dev/null
    fi
    echo '@@lf:killed@@'
    exit 0
}

printf '\n@@lf:ready@@\n'
[ $# -eq 2 ] || fail bad_argument "2 arguments expected, $# given"
state_dir=$1 run_id=$2
case $state_dir in /*) ;; *) fail bad_argument "state directory $state_dir" ;; esac
case $run_id in '' | *[!A-Za-z0-9_-]*) fail bad_argument "run id $run_id" ;; esac
run=$state_dir/runs/$run_id
kill_run
