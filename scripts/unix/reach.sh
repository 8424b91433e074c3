# Reaching a port from the machine itself by whatever tool is there.
# It never goes through a proxy, and never waits longer than it is told.
#
# A part of health and measure. Needs prelude.sh and family.sh before it.
# shellcheck shell=sh disable=SC2034 # whoever has this part in it reads host and port
has() { # TOOL
    command -v "$1" >/dev/null 2>&1
}

# One question may hang for ever; timeout(1) is not everywhere. A session of its own, so that the children die as well: one that
# lived on would hold the pipe that the answer is read from.
# The watcher counts single seconds: what is left of it after a quick answer sleeps for one second at most.
bounded() { # SECONDS COMMAND ...
    limit=$1
    shift
    if has setsid; then setsid "$@" 2>&1 </dev/null & else "$@" 2>&1 </dev/null & fi
    asked=$!
    (
        while [ "$limit" -gt 0 ]; do
            sleep 1
            limit=$((limit - 1))
        done
        # Whoever waits for it ends this as soon as the first of them is gone.
        trap '' TERM
        # shellcheck disable=SC2046 # a list of pids
        kill -KILL "-$asked" 2>/dev/null || kill -KILL $(family "$asked")
    ) </dev/null >/dev/null 2>&1 &
    watcher=$!
    # Some say here who was killed.
    wait "$asked" 2>/dev/null
    code=$?
    kill "$watcher" 2>/dev/null
    # ksh counts the end by a signal from 256, everybody else from 128.
    if [ "$code" -gt 255 ]; then code=$((code - 128)); fi
    return "$code"
}

# Before 7.52 curl told milliseconds only, too few to tell what was asked.
exact_curl() {
    has curl || return 1
    case $(curl -s -m 3 -o /dev/null -w '%{time_connect}' http://127.0.0.1:1/ 2>/dev/null) in
        (*.??????) return 0 ;;
        (*) return 1 ;;
    esac
}

# It waits for what such a server may never say: that it was connected, its own clock tells.
curl_connects() { # HOST PORT: sets waited, in seconds; else says why not
    case $1 in *:*) address="[$1]:$2" ;; *) address=$1:$2 ;; esac
    said=$(bounded 4 curl -gsS -m 3 -o /dev/null -w '\n%{time_connect}' "telnet://$address")
    code=$? waited=$(put_line "$said" | sed -n '$p')
    case $waited in
        0.000000) put_line "$said" | sed '$d' ;;
        [0-9]*.??????) return 0 ;;
    esac
    return "$code"
}

split_address() { # HOST[:PORT] DEFAULT: sets host, port
    case $1 in
        \[*\]:*) host=${1%:*} port=${1##*:} ;;
        \[*\]) host=$1 port=$2 ;;
        *:*) host=${1%:*} port=${1##*:} ;;
        *) host=$1 port=$2 ;;
    esac
    host=${host#\[}
    host=${host%\]}
}
