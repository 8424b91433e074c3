# Tells one process from all others, also from a later one with the same pid.
# It never starts, signals or ends one.
#
# A part of follow, runner, kill, cleanup and agent, and of the service script that an install leaves. Needs clock.sh
# before it. Only Linux has /proc/self/stat: elsewhere /proc has directories named by pid, and none of these texts.
# shellcheck shell=sh

boot_id() { # sets boot
    if [ -r /proc/sys/kernel/random/boot_id ]; then
        read -r boot </proc/sys/kernel/random/boot_id
    else
        # shellcheck disable=SC2046 # joins the words with single blanks
        set -- $(who -b 2>/dev/null)
        # To the ksh of 1988 an empty $* is an unset parameter.
        boot=${*-}
    fi
}

# Was the machine started anew since FILE was written? One that is not there says nothing.
rebooted_since() { # FILE
    noted=
    if [ -r "$1" ]; then read -r noted <"$1"; fi
    boot_id
    [ "$noted" != "$boot" ]
}

# A pid alone proves nothing: pids are used again. Pid and start time together are one process.
# shellcheck disable=SC2034 # not every program reads group
process_facts() { # PID: sets group, started
    if [ -r /proc/self/stat ]; then
        # The name in parentheses may itself hold blanks, parentheses and the end of a line.
        facts=
        { while IFS= read -r row; do facts=$row; done <"/proc/$1/stat"; } 2>/dev/null || return 1
        [ -n "$facts" ] || return 1
        # shellcheck disable=SC2086 # split into fields
        set -- ${facts##*\)}
        case $1 in Z | X) return 1 ;; esac
        group=$3 started=${20}
        return 0
    fi
    # Before the age is asked for: what may take its time comes after neither.
    clock=$(seconds)
    # shellcheck disable=SC2046 # split into columns
    set -- $(ps -o pgid= -o etime= -o comm= -p "$1" 2>/dev/null)
    # To the ksh of 1988 an empty $* is an unset parameter, and the end.
    [ $# -ge 2 ] || return 1
    # A process that nobody has collected yet has no age, or is named so.
    case "$2 $*" in *'<defunct>'* | [!0-9]*) return 1 ;; esac
    group=$1
    age_of "$2" || return 1
    started=$((clock - age))
}

age_of() { # [DAYS-][HOURS:]MINUTES:SECONDS: sets age, in seconds
    case $1 in *[!0-9:-]* | *: | :*) return 1 ;; *:*) ;; *) return 1 ;; esac
    days=0 rest=$1 age=0
    case $rest in *-*) days=${rest%%-*} rest=${rest#*-} ;; esac
    days=${days#0}
    # Some ps reckon the age of the youngest as less than nothing, and show it as more than time.
    case $days in ??????*) return 0 ;; esac
    while [ -n "$rest" ]; do
        part=${rest%%:*}
        # A leading zero would make it octal.
        part=${part#0}
        age=$((age * 60 + ${part:-0}))
        case $rest in *:*) rest=${rest#*:} ;; *) rest= ;; esac
    done
    age=$((age + ${days:-0} * 86400))
}

# A pid file lies where the agent's user may write: what is in it ends processes, so it counts only when root wrote it.
roots_own() { # FILE
    # shellcheck disable=SC2012,SC2046 # split into the columns of ls, which tells the owner everywhere
    set -- $(ls -ln "$1" 2>/dev/null)
    case ${1-} in -*) [ "${3-}" = 0 ] ;; *) return 1 ;; esac
}

# Where the start time is reckoned from the age of the process, two looks may differ by a second.
same_start() { # STARTED STARTED
    if [ "$1" = "$2" ]; then return 0; fi
    if [ -r /proc/self/stat ]; then return 1; fi
    case $1 in '' | *[!0-9]*) return 1 ;; esac
    case $2 in '' | *[!0-9]*) return 1 ;; esac
    [ $(($1 - $2)) -le 2 ] && [ $(($2 - $1)) -le 2 ]
}

# The words a process was started with, a line each.
words_of() { # PID
    if [ -r "/proc/$1/cmdline" ]; then
        tr '\000' '\n' <"/proc/$1/cmdline" 2>/dev/null
    elif command -v pargs >/dev/null 2>&1; then
        # ps cuts them there, after 80 characters.
        pargs "$1" 2>/dev/null | sed -n 's/^argv\[[0-9]*\]: //p'
    else
        # Without pargs, Solaris has the other ps beside its own.
        { ps -o args= -p "$1" && { ps www "$1" || /usr/ucb/ps www "$1"; }; } 2>/dev/null | tr ' ' '\n'
    fi
}

# Is it the runner of that run, or something that one started for it? By the run's id, or by the run's directory, which comes first
# where the words are cut.
of_run() { # PID RUN_ID
    words_of "$1" | sed -e "s,^.*/runs/\($2\)\$,\1," -e "s,^.*/runs/\($2\)/.*\$,\1," | grep -Fqx -e "$2"
}

has_variable() { # PID NAME=VALUE: in its environment
    if [ -r /proc/self/stat ]; then
        tr '\000' '\n' <"/proc/$1/environ" 2>/dev/null | grep -Fqx -e "$2"
    elif command -v pargs >/dev/null 2>&1; then
        pargs -e "$1" 2>/dev/null | sed -n 's/^envp\[[0-9]*\]: //p' | grep -Fqx -e "$2"
    else
        { ps ewww "$1" || /usr/ucb/ps ewww "$1"; } 2>/dev/null | sed 's/$/ /' | grep -Fq -e " $2 "
    fi
}

alive() { # PID STARTED RUN_ID
    process_facts "$1" && same_start "$started" "$2" && of_run "$1" "$3"
}
