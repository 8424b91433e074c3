# The lock of the host, and what a dead owner of it left running.
# It never takes or gives back a lock.
#
# A part of runner and kill. Needs process.sh and family.sh before it, and state_dir set.
# shellcheck shell=sh disable=SC2154,SC2034 # it is set by the program, which uses what is found

# scripts/exit_codes.toml is the table.
EXIT_TERMINATED=143

find_lock() { # sets highest, 0 when there is none
    highest=0
    for file in "$state_dir"/lock.*; do
        number=${file##*/lock.}
        case $number in '' | *[!0-9]*) continue ;; esac
        if [ "$number" -gt "$highest" ]; then highest=$number; fi
    done
}

# What a dead runner left running in its group. One of them must name the run, else the number was used again.
# A runner without a group of its own leaves none with its number.
end_orphans() { # RUN_ID PGID
    for member in $(group_members "$2"); do
        if of_run "$member" "$1"; then
            kill -KILL "-$2" 2>/dev/null
            return 0
        fi
    done
    return 1
}
