# Runs the agent script of one run apart from the session that brought it: own session, own log, own exit file.
# It never starts a run id twice, never lets two runs work on one machine at once, and knows nothing of packages.
#
#   start STATE RUN_ID ACTION TASK EPOCH DEADLINE_S   makes runs/RUN_ID and starts `main` detached
#   main  STATE RUN_ID ACTION TASK EPOCH DEADLINE_S   the detached process: lock, agent.sh, exit file
#   kill  STATE RUN_ID                                ends the run and whatever it started in its group
#
# Needs prelude.sh, process.sh and runs.sh before it.
# shellcheck disable=SC2154 # process.sh sets group and started

# scripts/exit_codes.toml is the table.
EXIT_HOST_BUSY=40
EXIT_STALE_EPOCH=41
EXIT_STATE_FAILED=42
EXIT_TERMINATED=143

# Not every job kind ends with a cleanup, which keeps fewer. Of runs that ended just now the executor has yet to hear.
# shellcheck disable=SC2034 # runs.sh reads it
keep_runs=20

# Pids of a process group, zombies left out: kill -0 counts them, and in a container nobody may ever collect them.
group_members() { # PGID
    cat /proc/[0-9]*/stat 2>/dev/null | while IFS= read -r facts; do
        # shellcheck disable=SC2086 # split into fields
        set -- "$1" "${facts%% *}" ${facts##*\)}
        if [ "${5-}" = "$1" ]; then
            case $3 in Z | X) ;; *) printf '%s ' "$2" ;; esac
        fi
    done
}

# Where no group of its own could be had: the process and its descendants.
family() { # PID
    family="$1 " grown=yes
    # shellcheck disable=SC2086 # split into fields
    table=$(cat /proc/[0-9]*/stat 2>/dev/null | while IFS= read -r facts; do
        set -- ${facts##*\)}
        printf '%s %s ' "${facts%% *}" "$2"
    done)
    while [ -n "$grown" ]; do
        grown=
        # shellcheck disable=SC2086 # split into pairs of pid and parent
        set -- $table
        while [ $# -ge 2 ]; do
            case " $family" in
                *" $1 "*) ;;
                *" $2 "*) family="$family$1 " grown=yes ;;
            esac
            shift 2
        done
    done
    printf '%s' "$family"
}

living() { # PID ...: those of them that still run
    for one in "$@"; do
        if process_facts "$one"; then printf '%s ' "$one"; fi
    done
}

pause() {
    sleep 0.1 2>/dev/null || sleep 1
}

# The room for the exit code is taken beforehand and overwritten in place: a run that filled the disk must still say so.
finish() { # CODE
    printf '%s\n' "$1" 1<>"$run/exit.new" && mv -f "$run/exit.new" "$run/exit"
    exit "$1"
}

# --- start ---

start_run() { # ACTION TASK EPOCH DEADLINE_S
    stage=${0%/*}
    # The session may die at any moment from here on. A trap, not an ignored signal: children would inherit that.
    trap : HUP PIPE
    if ! mkdir "$run" 2>/dev/null; then
        [ -d "$run" ] || fail state_refused "$run cannot be made"
        rm -rf "$stage"
        echo '@@lf:attached@@'
        exit 0
    fi
    if ! { mv "$stage/agent.sh" "$stage/runner.sh" "$stage/params" "$run/" &&
        boot_id >"$run/boot" && : >"$run/log" && printf 'run START %s\n' "$run_id" >>"$state_dir/history.log"; }; then
        rm -rf "$run" "$stage"
        fail write_failed "$run"
    fi
    rm -rf "$stage"
    as_unit "$@" || as_session "$@"
    tries=0
    until [ -s "$run/pid" ] || [ "$tries" -ge 50 ]; do
        pause
        tries=$((tries + 1))
    done
    [ -s "$run/pid" ] || fail not_started "$run_id did not start within 5 s"
    echo '@@lf:started@@'
}

# --collect is unknown before systemd 236; without it a failed unit stays listed, which is harmless.
# Should systemd-run fail after it started the unit, `main` lets only the first of two in.
as_unit() { # ACTION TASK EPOCH DEADLINE_S
    [ -d /run/systemd/system ] && command -v systemd-run >/dev/null 2>&1 || return 1
    for collect in --collect --quiet; do
        systemd-run --quiet $collect --unit="landfall-$run_id" --property=KillMode=control-group \
            --property=TimeoutStopSec=5 /bin/sh "$run/runner.sh" main "$state_dir" "$run_id" "$@" \
            </dev/null >>"$run/log" 2>&1 && return 0
    done
    return 1
}

# All three standard streams go elsewhere: sshd keeps a session open as long as somebody holds one of them.
as_session() { # ACTION TASK EPOCH DEADLINE_S
    if command -v setsid >/dev/null 2>&1; then
        setsid sh "$run/runner.sh" main "$state_dir" "$run_id" "$@" </dev/null >>"$run/log" 2>&1 &
        return
    fi
    (
        # dash and busybox refuse job control without a terminal; then there is no group, and HUP must be ignored.
        set -m 2>/dev/null
        case $- in *m*) ;; *) trap '' HUP ;; esac
        sh "$run/runner.sh" main "$state_dir" "$run_id" "$@" </dev/null >>"$run/log" 2>&1 &
    )
}

# --- main ---

run_main() { # ACTION TASK EPOCH DEADLINE_S
    action=$1 task=$2 epoch=$3 deadline=$4
    mkdir "$run/claim" 2>/dev/null || exit 0
    exec </dev/null >>"$run/log" 2>&1
    cd / || exit 1
    HOME=/root
    export HOME
    held=
    process_facts $$ || exit 1
    mark=$started
    trap terminated TERM
    printf '\n\n\n\n' >"$run/exit.new" &&
        printf '%s %s %s\n' "$$" "$mark" "$group" >"$run/pid.new" && mv "$run/pid.new" "$run/pid" || exit 1
    umask 022
    take_lock
    prune_runs
    # In the foreground: a background child of a shell would ignore INT and QUIT, and so would the agent it starts.
    sh "$run/agent.sh" "$action" "$run"
    code=$?
    # ksh counts the end by a signal from 256, everybody else from 128.
    if [ "$code" -gt 255 ]; then code=$((code - 128)); fi
    release_lock
    finish "$code"
}

terminated() {
    trap '' TERM
    say ERROR run FAILED "ended by a signal"
    release_lock
    finish $EXIT_TERMINATED
}

find_lock() { # sets highest, 0 when there is none
    highest=0
    for file in "$state_dir"/lock.*; do
        number=${file##*/lock.}
        case $number in '' | *[!0-9]*) continue ;; esac
        if [ "$number" -gt "$highest" ]; then highest=$number; fi
    done
}

take_lock() {
    boot=$(boot_id) waited=0 named='' failures=0
    # Both files are made now: giving the lock back must work on a full disk.
    if ! { printf '%s %s %s %s %s %s\n' "$run_id" "$task" "$epoch" $$ "$mark" "$boot" >"$run/owner" &&
        printf 'released %s\n' "$run_id" >"$run/released"; }; then
        lock_failed "$run cannot be written"
    fi
    while :; do
        find_lock
        if may_take "$state_dir/lock.$highest"; then
            next=$((highest + 1))
            if ln "$run/owner" "$state_dir/lock.$next" 2>/dev/null; then
                find_lock
                if [ "$highest" -eq "$next" ]; then break; fi
                # We counted before another one took and left again: the higher number rules.
                rm -f "$state_dir/lock.$next"
            elif [ ! -e "$state_dir/lock.$next" ]; then
                failures=$((failures + 1))
                [ "$failures" -lt 5 ] || lock_failed "$state_dir/lock.$next cannot be made"
                pause
            fi
        elif [ "$waited" -ge "$deadline" ]; then
            say ERROR lock FAILED "the host is held by $holder (pid $holder_pid)"
            finish $EXIT_HOST_BUSY
        else
            if [ "$named" != "$holder" ]; then say INFO lock - "waiting for $holder (pid $holder_pid)"; fi
            named=$holder waited=$((waited + 1))
            sleep 1
        fi
    done
    held=$state_dir/lock.$next
    for file in "$state_dir"/lock.*; do
        number=${file##*/lock.}
        case $number in '' | *[!0-9]*) continue ;; esac
        if [ "$number" -lt "$next" ]; then rm -f "$file"; fi
    done
}

lock_failed() { # MESSAGE
    say ERROR lock FAILED "$1"
    finish $EXIT_STATE_FAILED
}

# True when there is no lock, it was given back, or its owner is dead. Sets holder and holder_pid.
may_take() { # FILE
    [ -e "$1" ] || return 0
    # Empty after a power cut: no owner then can be alive.
    read -r holder holder_task holder_epoch holder_pid holder_start holder_boot <"$1" || return 0
    [ "$holder" != released ] || return 0
    # The claim that sent us is older than one that already worked here for the same task.
    if [ "$holder_task" = "$task" ] && [ "$holder_epoch" -gt "$epoch" ]; then
        say ERROR lock FAILED "epoch $epoch is older than $holder_epoch of $holder"
        finish $EXIT_STALE_EPOCH
    fi
    [ "$holder_boot" = "$boot" ] || return 0
    if alive "$holder_pid" "$holder_start" "$holder"; then return 1; fi
    end_orphans "$holder" "$holder_pid"
    return 0
}

release_lock() {
    [ -n "$held" ] || return 0
    # Somebody who held us for dead may have gone on; the file is then no longer ours to write.
    if read -r holder _ <"$held" && [ "$holder" = "$run_id" ]; then mv -f "$run/released" "$held"; fi
    held=
}

# --- kill ---

# What a dead runner left running in its group. One of them must name the run, else the number was used again.
# A runner without a group of its own leaves none with its number.
end_orphans() { # RUN_ID PGID
    for member in $(group_members "$2"); do
        if has_argument "$member" "$state_dir/runs/$1"; then
            kill -KILL "-$2" 2>/dev/null
            return 0
        fi
    done
    return 1
}

kill_run() {
    # A start that is still on its way finds the directory, and starts nothing.
    if mkdir "$run" 2>/dev/null; then
        mkdir "$run/claim" && boot_id >"$run/boot" && printf '%s\n' $EXIT_TERMINATED >"$run/exit"
        gone
    fi
    [ -d "$run" ] || gone
    tries=0
    while [ ! -s "$run/pid" ]; do
        # Not begun yet: whoever makes this directory first decides whether it ever will.
        if mkdir "$run/claim" 2>/dev/null || [ "$tries" -ge 20 ]; then gone; fi
        pause
        tries=$((tries + 1))
    done
    read -r pid mark pgid <"$run/pid"
    if [ "$(cat "$run/boot" 2>/dev/null)" != "$(boot_id)" ]; then gone; fi
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
        pause
        tries=$((tries + 1))
    done
}

gone() {
    echo '@@lf:gone@@'
    exit 0
}

# A runner that was killed outright could not give the lock back.
killed() {
    find_lock
    if [ "$highest" -gt 0 ] && read -r holder _ <"$state_dir/lock.$highest" && [ "$holder" = "$run_id" ]; then
        mv -f "$run/released" "$state_dir/lock.$highest" 2>/dev/null
    fi
    echo '@@lf:killed@@'
    exit 0
}

verb=${1-}
if [ "$verb" = kill ]; then printf '\n@@lf:ready@@\n'; fi
case $verb in
    start | main) [ $# -eq 7 ] || fail bad_argument "$verb takes 6 arguments, $(($# - 1)) given" ;;
    kill) [ $# -eq 3 ] || fail bad_argument "kill takes 2 arguments, $(($# - 1)) given" ;;
    *) fail bad_argument "action '$verb'" ;;
esac
state_dir=$2 run_id=$3
shift 3
case $state_dir in /*) ;; *) fail bad_argument "state directory $state_dir" ;; esac
case $run_id in '' | *[!A-Za-z0-9_-]*) fail bad_argument "run id $run_id" ;; esac
run=$state_dir/runs/$run_id
case $verb in
    start | main)
        for number in "$3" "$4"; do
            case $number in '' | *[!0-9]*) fail bad_argument "'$number' is no number" ;; esac
        done
        ;;
esac
case $verb in
    start) start_run "$@" ;;
    main) run_main "$@" ;;
    kill) kill_run ;;
esac
