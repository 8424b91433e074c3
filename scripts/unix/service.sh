# What starting, stopping and finding the agent's process have in common on all systems.
# It never touches a process or a file that is not ours.
#
# A part of agent. Needs prelude.sh, process.sh and family.sh before it, and after it the half of a system, which is
# linux/service.sh, aix/agent.ksh or solaris/agent.ksh and has:
#   set_places                the variables that name the system's own files: system_file is what the stage holds for it ('' for
#                             nothing), system_place where that goes
#   owned_by_system PATH      is it a directory that the system or its packages own?
#   check_foreign running start_agent stop_agent last_words setup_startup_scripts unregister registered strays
# shellcheck shell=sh disable=SC2154 # agent.sh reads the parameters and names the exit codes, process.sh sets started
umask 022

# Until a start says otherwise.
# shellcheck disable=SC2034 # Linux's half reads began
began=$(date '+%Y-%m-%d %H:%M:%S') log_size=0

# The line that makes a unit or a script ours; a manifest has it as a comment.
OURS='# Installed by landfall'

ours() { # FILE
    [ -f "$1" ] && grep -Fqx -e "$OURS" -e '<!-- Installed by landfall -->' "$1"
}

refuse_foreign() { # FILE ...
    for file in "$@"; do
        if [ -e "$file" ] || [ -h "$file" ]; then
            ours "$file" || die "$EXIT_FOREIGN_SERVICE" check_env "$file is not ours, choose another name or remove it"
        fi
    done
}

refuse_foreign_pid() {
    [ -s "$pid_file" ] && roots_own "$pid_file" || return 0
    read -r pid mark rest <"$pid_file"
    if [ -z "$mark" ] && process_facts "$pid"; then
        die "$EXIT_FOREIGN_SERVICE" check_env "$pid_file names process $pid of another program"
    fi
}

# --- without a service of the system ---

# The start time as it was written down: reckoned anew it may differ by a second.
running_by_pid() { # prints who runs, and sets pid
    [ -s "$pid_file" ] && roots_own "$pid_file" && read -r pid mark rest <"$pid_file" && process_facts "$pid" && same_start "$started" "$mark" || return 1
    echo "process=pid $pid $mark"
}

start_by_script() {
    if sh "$home/service" start >/dev/null; then return; fi
    warn_last_words start_agent
    die "$EXIT_START_FAILED" start_agent "$name ended at once"
}

stop_by_script() { # STEP SCRIPT ...: by the first of them that is ours
    step=$1
    shift
    for script in "$@"; do
        if ours "$script"; then
            sh "$script" stop >/dev/null || die "$EXIT_STOP_FAILED" "$step" "$name cannot be stopped"
            return
        fi
    done
}

# --- last words, and strays ---

warn_last_words() { # STEP
    last_words | while IFS= read -r line; do say WARN "$1" - "$line"; done
}

end_of_log() { # FILE: of this start, not of an earlier one
    [ -f "$1" ] || return 0
    size_of "$1"
    if [ "$bytes" -lt "$log_size" ]; then log_size=0; fi
    tail -c +$((log_size + 1)) "$1" | tail -n 5
}

end_strays() { # STEP
    signal=TERM waited=0
    # shellcheck disable=SC2046,SC2005 # in one line
    while left=$(echo $(strays)) && [ -n "$left" ]; do
        if [ "$waited" -eq 0 ]; then say WARN "$1" - "still running from $home: $left"; fi
        [ "$waited" -lt 12 ] || die "$EXIT_STOP_FAILED" "$1" "still running from $home: $left"
        if [ "$waited" -ge 10 ]; then signal=KILL; fi
        # shellcheck disable=SC2086 # a list of pids
        if [ "$waited" -eq 0 ] || [ "$signal" = KILL ]; then kill -"$signal" $left 2>/dev/null; fi
        sleep 1
        waited=$((waited + 1))
    done
}
