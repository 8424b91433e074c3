# Tells one process from all others, also from a later one with the same pid.
# It never starts, signals or ends one.
#
# A part of follow, kill, cleanup and agent. Needs prelude.sh before it.

boot_id() {
    if [ -r /proc/sys/kernel/random/boot_id ]; then
        cat /proc/sys/kernel/random/boot_id
    else
        # shellcheck disable=SC2046,SC2005 # joins the words with single blanks
        echo $(who -b 2>/dev/null)
    fi
}

# A pid alone proves nothing: pids are used again. Pid and start time together are one process.
# shellcheck disable=SC2034 # not every program reads group
process_facts() { # PID: sets group, started
    if [ -r /proc/self/stat ]; then
        facts=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
        # The name in parentheses may itself hold blanks and parentheses.
        # shellcheck disable=SC2086 # split into fields
        set -- ${facts##*\)}
        group=$3 started=${20}
    else
        facts=$(ps -o stat= -o pgid= -o lstart= -p "$1" 2>/dev/null) || return 1
        # shellcheck disable=SC2086 # split into fields
        set -- $facts
        group=$2
        started=$(shift 2 && printf '%s' "$*" | tr ' ' '_')
    fi
    case $1 in Z* | X*) return 1 ;; esac
}

has_argument() { # PID WORD
    if [ -r "/proc/$1/cmdline" ]; then
        tr '\000' '\n' <"/proc/$1/cmdline" 2>/dev/null | grep -Fqx -e "$2"
    else
        ps -o args= -p "$1" 2>/dev/null | tr ' ' '\n' | grep -Fqx -e "$2"
    fi
}

alive() { # PID STARTED RUN_ID
    process_facts "$1" && [ "$started" = "$2" ] && has_argument "$1" "$3"
}
