# Finds what belongs to a process: those of its group, and its descendants.
# It never starts, signals or ends one.
#
# A part of runner, kill, health, measure and agent, and of the service script that an install leaves.
# shellcheck shell=sh

# A line `PID PARENT GROUP` per process. Zombies are left out: kill -0 counts them, and in a container nobody may ever collect
# them.
processes() {
    if [ -r /proc/self/stat ]; then
        cat /proc/[0-9]*/stat 2>/dev/null | while IFS= read -r facts; do
            # shellcheck disable=SC2086 # split into fields
            set -- "${facts%% *}" ${facts##*\)}
            case ${2-Z} in Z | X) ;; *) [ -z "${4-}" ] || echo "$1 $3 $4" ;; esac
        done
    else
        ps -e -o pid= -o ppid= -o pgid= -o comm= 2>/dev/null |
            sed -n -e '/<defunct>/d' -e 's/^ *\([0-9][0-9]*\)  *\([0-9][0-9]*\)  *\([0-9][0-9]*\).*/\1 \2 \3/p'
    fi
}

group_members() { # PGID
    processes | sed -n "s/^\([0-9]*\) [0-9]* $1\$/\1/p"
}

# Where no group of its own could be had: the process and its descendants.
family() { # PID
    family="$1 " grown=yes
    table=$(processes)
    while [ -n "$grown" ]; do
        grown=
        # shellcheck disable=SC2086 # split into threes of pid, parent and group
        set -- $table
        while [ $# -ge 3 ]; do
            case " $family" in
                *" $1 "*) ;;
                *" $2 "*) family="$family$1 " grown=yes ;;
            esac
            shift 3
        done
    done
    echo "$family"
}
