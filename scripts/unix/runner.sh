# Runs the agent script of one run apart from the session that brought it: own session, own log, own exit file.
# It never starts a run id twice, never lets two runs work on one machine at once, and knows nothing of packages.
#
#   start STATE RUN_ID ACTION TASK EPOCH DEADLINE_S   makes runs/RUN_ID and starts `main` detached
#   main  STATE RUN_ID ACTION TASK EPOCH DEADLINE_S   the detached process: lock, agent.sh, exit file
#
# Needs prelude.sh, clock.sh, process.sh, family.sh, lock.sh and runs.sh before it.
# shellcheck disable=SC2154,SC2034 # process.sh sets group and started, clock.sh slept; the rest of a line is read past

# scripts/exit_codes.toml is the table.
EXIT_HOST_BUSY=40
EXIT_STALE_EPOCH=41
EXIT_STATE_FAILED=42

# Not every job kind ends with a cleanup, which keeps fewer. Of runs that ended just now the executor has yet to hear.
# shellcheck disable=SC2034 # runs.sh reads it
keep_runs=20

# The room for the exit code is taken beforehand and overwritten in place: a run that filled the disk must still say so.
finish() { # CODE
    put_line "$1" 1<>"$run/exit.new" && mv -f "$run/exit.new" "$run/exit"
    exit "$1"
}

# To ksh, $0 within a function is the function's name.
self=$0

# --- start ---

start_run() { # ACTION TASK EPOCH DEADLINE_S
    stage=${self%/*}
    # The session may die at any moment from here on. A trap, not an ignored signal: children would inherit that.
    trap : HUP PIPE
    if ! mkdir "$run" 2>/dev/null; then
        [ -d "$run" ] || fail state_refused "$run cannot be made"
        rm -rf "$stage"
        echo '@@lf:attached@@'
        exit 0
    fi
    if ! { mv "$stage/agent.sh" "$stage/runner.sh" "$stage/params" "$run/" &&
        boot_id && printf '%s\n' "$boot" >"$run/boot" && : >"$run/log" && printf 'run START %s\n' "$run_id" >>"$state_dir/history.log"; }; then
        rm -rf "$run" "$stage"
        fail write_failed "$run"
    fi
    rm -rf "$stage"
    as_unit "$@" || as_session "$@"
    tries=0
    until [ -s "$run/pid" ] || [ "$tries" -ge 50 ]; do
        pause 1
        tries=$((tries + slept))
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
        # What really became of it, `main` sees by its own process group.
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
    if [ -d /root ]; then HOME=/root; else HOME=/; fi
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
    finish "$EXIT_TERMINATED"
}

take_lock() {
    boot_id
    waited=0 named='' failures=0
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
                pause 1
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
    # Where its age is reckoned, one slow look may miss it.
    if [ ! -r /proc/self/stat ]; then
        sleep 1
        if alive "$holder_pid" "$holder_start" "$holder"; then return 1; fi
    fi
    end_orphans "$holder" "$holder_pid"
    return 0
}

release_lock() {
    [ -n "$held" ] || return 0
    # Somebody who held us for dead may have gone on; the file is then no longer ours to write.
    if read -r holder rest <"$held" && [ "$holder" = "$run_id" ]; then mv -f "$run/released" "$held"; fi
    held=
}

verb=${1-}
case $verb in
    start | main) [ $# -eq 7 ] || fail bad_argument "$verb takes 6 arguments, $(($# - 1)) given" ;;
    *) fail bad_argument "action '$verb'" ;;
esac
state_dir=$2 run_id=$3
shift 3
case $state_dir in /*) ;; *) fail bad_argument "state directory $state_dir" ;; esac
case $run_id in '' | *[!A-Za-z0-9_-]*) fail bad_argument "run id $run_id" ;; esac
run=$state_dir/runs/$run_id
for number in "$3" "$4"; do
    case $number in '' | *[!0-9]*) fail bad_argument "'$number' is no number" ;; esac
done
case $verb in
    start) start_run "$@" ;;
    main) run_main "$@" ;;
esac
