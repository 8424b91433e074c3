# Asks an agent from its own machine whether it is well, again and again until it says yes or the time is over.
# It never starts, stops or changes the agent, and never goes through a proxy.
#
# Arguments: TIMEOUT_S MODE(command|http|tcp) TARGET
# Needs prelude.sh, clock.sh, family.sh and reach.sh before it.
# shellcheck disable=SC2154 # reach.sh sets host and port
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

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
        split_address "$(put_line "$1" | sed -e 's,^http://,,' -e 's,[/?].*,,')" 80
        path=/$(put_line "$1" | sed -e 's,^http://[^/?]*,,' -e 's,^/,,')
        bounded 4 bash -c 'exec 3<>"/dev/tcp/$0/$1" || exit 1
            printf "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n" "$2" "$0" >&3
            read -r version status rest <&3
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
        curl_connects "$host" "$port"
    fi
}

ask() {
    case $mode in
        command)
            if [ "$left" -lt 5 ]; then left=5; fi
            bounded "$left" sh -c "$target"
            ;;
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
        has bash || has nc || exact_curl || {
            echo '@@lf:cannot=neither bash nor nc nor curl is on the machine@@'
            exit 0
        }
        ;;
    *) fail bad_argument "mode $mode" ;;
esac

now=$(seconds)
end=$((now + timeout))
while :; do
    now=$(seconds)
    left=$((end - now))
    if said=$(ask); then
        echo '@@lf:healthy@@'
        exit 0
    else
        code=$?
    fi
    if [ "$(seconds)" -ge "$end" ]; then break; fi
    pause 5
done
# The last line that says something; a marker inside of it would end the answer early.
last=$(put_line "$said" | tr -d '\r@' | grep . | sed -n '$p' | cut -c 1-300)
if [ -z "$last" ] && [ "$code" -eq 137 ]; then last='no answer within its time'; fi
put_line "@@lf:unhealthy=${last:-exit code $code}@@"
