# Asks an agent from its own machine whether it is well, again and again until it says yes or the time is over.
# It never starts, stops or changes the agent, and never goes through a proxy.
#
# Arguments: TIMEOUT_S MODE(command|http|tcp) TARGET
# Needs prelude.sh before it.
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

has() { # TOOL
    command -v "$1" >/dev/null 2>&1
}

# One question may hang for ever; timeout(1) is not everywhere. A session of its own, so that the children die as well.
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
        kill -KILL "-$asked" 2>/dev/null || kill -KILL "$asked"
    ) </dev/null >/dev/null 2>&1 &
    watcher=$!
    wait "$asked"
    code=$?
    kill "$watcher" 2>/dev/null
    # ksh counts the end by a signal from 256, everybody else from 128.
    if [ "$code" -gt 255 ]; then code=$((code - 128)); fi
    return "$code"
}

# shellcheck disable=SC2016 # bash expands its own arguments
ask_http() { # URL
    if has curl; then
        # -g: the brackets of an IPv6 address are no pattern.
        bounded 4 curl -gfsS -m 3 -o /dev/null "$1"
    elif has wget; then
        # Without -T: the wget of busybox 1.35 crashes on it. The bound is ours anyway.
        bounded 4 wget -q -O /dev/null "$1" || {
            echo "wget failed"
            return 1
        }
    else
        split_address "$(printf '%s' "$1" | sed -e 's,^http://,,' -e 's,[/?].*,,')" 80
        path=/$(printf '%s' "$1" | sed -e 's,^http://[^/?]*,,' -e 's,^/,,')
        bounded 4 bash -c 'exec 3<>"/dev/tcp/$0/$1" || exit 1
            printf "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n" "$2" "$0" >&3
            read -r _ status rest <&3
            case $status in [23]??) exit 0 ;; esac
            echo "answered $status $rest"
            exit 1' "$host" "$port" "$path"
    fi
}

# shellcheck disable=SC2016 # bash expands its own arguments
ask_tcp() { # HOST:PORT
    split_address "$1" ''
    if has bash; then
        bounded 4 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "$port"
    elif has nc; then
        bounded 4 nc -z -w 3 "$host" "$port" || {
            echo "nothing listens on $1"
            return 1
        }
    else
        case $host in *:*) host="[$host]" ;; esac
        bounded 4 curl -gsS -m 3 -o /dev/null "telnet://$host:$port"
    fi
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

ask() {
    case $mode in
        command) bounded "$((left > 5 ? left : 5))" sh -c "$target" ;;
        http) ask_http "$target" ;;
        tcp) ask_tcp "$target" ;;
    esac
}

printf '\n@@lf:ready@@\n'
[ $# -eq 3 ] || fail bad_argument "3 arguments expected, $# given"
timeout=$1 mode=$2 target=$3
case $timeout in '' | *[!0-9]*) fail bad_argument "timeout $timeout" ;; esac
case $mode in
    command) ;;
    http)
        case $target in
            http://*) has curl || has wget || has bash ;;
            *) has curl || has wget ;;
        esac || {
            echo '@@lf:cannot=neither curl nor wget nor bash is on the machine@@'
            exit 0
        }
        ;;
    tcp)
        case $target in ?*:[0-9]*) ;; *) fail bad_argument "address $target" ;; esac
        has bash || has nc || has curl || {
            echo '@@lf:cannot=neither bash nor nc nor curl is on the machine@@'
            exit 0
        }
        ;;
    *) fail bad_argument "mode $mode" ;;
esac

if sleep 0.5 2>/dev/null; then nap=0.5; else nap=1; fi
end=$(($(date +%s) + timeout))
while :; do
    left=$((end - $(date +%s)))
    if said=$(ask); then
        echo '@@lf:healthy@@'
        exit 0
    else
        code=$?
    fi
    if [ "$(date +%s)" -ge "$end" ]; then break; fi
    sleep "$nap"
done
# The last line that says something; a marker inside of it would end the answer early.
last=$(printf '%s\n' "$said" | tr -d '\r@' | grep . | sed -n '$p' | cut -c 1-300)
if [ -z "$last" ] && [ "$code" -eq 137 ]; then last='no answer within its time'; fi
echo "@@lf:unhealthy=${last:-exit code $code}@@"
