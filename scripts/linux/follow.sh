#!/bin/sh
# Streams the log of one run from a byte offset, and says at the end how the run ended.
# It never changes the run, never starts anything, and writes nothing but log bytes to stdout after the ready line.
#
# Arguments: STATE RUN_ID OFFSET. stdout: ready line, then raw bytes. stderr: beat, exit, missing, rebooted, lost.
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin LC_ALL=C LANG=C
export PATH LC_ALL LANG
unset IFS
umask 077

fail() { # CODE TEXT
    printf '@@lf:fail=%s@@\n' "$*"
    exit 1
}

boot_id() {
    if [ -r /proc/sys/kernel/random/boot_id ]; then
        cat /proc/sys/kernel/random/boot_id
    else
        # shellcheck disable=SC2046,SC2005 # joins the words with single blanks
        echo $(who -b 2>/dev/null)
    fi
}

# A pid alone proves nothing: pids are used again. Pid and start time together are one process.
# shellcheck disable=SC2034 # not every script reads all three
process_facts() { # PID: sets state, group, started
    if [ -r /proc/self/stat ]; then
        facts=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
        # The name in parentheses may itself hold blanks and parentheses.
        # shellcheck disable=SC2086 # split into fields
        set -- ${facts##*\)}
        state=$1 group=$3 started=${20}
    else
        facts=$(ps -o stat= -o pgid= -o lstart= -p "$1" 2>/dev/null) || return 1
        # shellcheck disable=SC2086 # split into fields
        set -- $facts
        state=$1 group=$2
        shift 2
        started=$(printf '%s' "$*" | tr ' ' '_')
    fi
    case $state in Z* | X*) return 1 ;; esac
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

run_alive() {
    [ -s "$run/pid" ] && read -r pid mark _ <"$run/pid" && alive "$pid" "$mark" "$run_id"
}

size_of() { # FILE
    if [ -f "$1" ]; then echo $(($(wc -c <"$1"))); else echo 0; fi
}

# Every dd goes on where the last one ended, because they share one open file. Exactly `size - offset` bytes leave:
# cat would also send what is appended meanwhile, and the offset would be unknown.
emit() {
    size=$(size_of "$run/log")
    while [ "$offset" -lt "$size" ]; do
        blocks=$(((size - offset) / 65536)) block=65536
        if [ "$blocks" -eq 0 ]; then blocks=1 block=$((size - offset)); fi
        # Nobody reads any more.
        dd bs="$block" count="$blocks" <&3 2>/dev/null || exit 0
        offset=$((offset + block * blocks))
    done
}

control() { # WORD
    printf '@@lf:%s@@\n' "$1" >&2 || exit 0
}

end() { # WORD
    emit
    control "$1"
    exit 0
}

printf '\n@@lf:ready@@\n'
[ $# -eq 3 ] || fail bad_argument "3 arguments expected, $# given"
state_dir=$1 run_id=$2 offset=$3
case $run_id in '' | *[!A-Za-z0-9_-]*) fail bad_argument "run id $run_id" ;; esac
case $offset in '' | *[!0-9]*) fail bad_argument "offset $offset" ;; esac
run=$state_dir/runs/$run_id
printf '\n' >&2
if [ ! -d "$run" ]; then
    control missing
    exit 0
fi
if [ -f "$run/log" ]; then exec 3<"$run/log"; else exec 3</dev/null; fi
# bs=1 makes skip a byte count; with count=0 it is one seek.
if [ "$offset" -gt 0 ]; then dd bs=1 skip="$offset" count=0 <&3 2>/dev/null; fi

# 25 × 0.2 s or 5 × 1 s: one beat every 5 s.
if sleep 0.2 2>/dev/null; then nap=0.2 per_beat=25; else nap=1 per_beat=5; fi
tick=0 misses=0
while :; do
    emit
    if [ -f "$run/exit" ]; then
        emit
        read -r code <"$run/exit"
        control "exit=$code $size"
        exit 0
    fi
    if [ "$tick" -eq 0 ]; then
        control beat
        if [ -f "$run/boot" ] && [ "$(cat "$run/boot")" != "$(boot_id)" ]; then end rebooted; fi
        if run_alive; then
            misses=0
        else
            misses=$((misses + 1))
            # It may have ended between the look at `exit` and the look at the process.
            if [ "$misses" -ge 2 ] && [ ! -f "$run/exit" ]; then end lost; fi
        fi
    fi
    tick=$(((tick + 1) % per_beat))
    sleep "$nap"
done
