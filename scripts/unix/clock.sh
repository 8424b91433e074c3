# What time it is in seconds, and how to wait for a moment.
# It never sleeps for less than it says.
#
# A part of every program that waits or tells processes by their age, and of the service script that an install leaves.
# shellcheck shell=sh

# Seconds since 1970. A date that knows no %s prints it as it is; every awk but the oldest then tells its seed.
seconds() {
    epoch=$(date +%s 2>/dev/null)
    case $epoch in
        '' | *[!0-9]*)
            epoch=$(nawk 'BEGIN { srand(); print srand() }' </dev/null 2>/dev/null) ||
                epoch=$(awk 'BEGIN { srand(); print srand() }' </dev/null)
            ;;
    esac
    echo "$epoch"
}

# Elsewhere than on Linux sleep refuses a part of a second, or takes it for none, and a loop would be over at once.
# shellcheck disable=SC2034,SC2317 # not every program has a use for it, or for slept
pause() { # TENTHS, fewer than ten: sets slept, in tenths
    slept=$1
    if [ -r /proc/self/stat ] && sleep "0.$1" 2>/dev/null; then return 0; fi
    slept=10
    sleep 1
}
