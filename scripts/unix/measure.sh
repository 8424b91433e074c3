# Tells how long a connection to each of some servers takes from this machine: the shortest of a few.
# It never sends a byte to a server, and never goes through a proxy. Eight servers are asked at once.
#
# Arguments: TRIES HOST:PORT ...
# Needs prelude.sh, clock.sh, family.sh and reach.sh before it.
# shellcheck disable=SC2154 # reach.sh sets host and port
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

# Microseconds since the machine was started, as exactly as every Linux tells them: in hundredths of a second. Elsewhere only
# tools that have a clock of their own are asked.
now() {
    if [ ! -r /proc/uptime ]; then
        echo 0
        return
    fi
    read -r up rest </proc/uptime
    # A leading zero would make the hundredths octal.
    echo $((${up%.*} * 1000000 + (1${up#*.} - 100) * 10000))
}

# One connection. Says `took MICROSECONDS` where the tool knows it better than a look at the clock before and after.
# shellcheck disable=SC2016 # bash expands its own arguments
connect() {
    if [ "$way" = bash ]; then
        bounded 3 bash -c 'before=${EPOCHREALTIME-}
            exec 3<>"/dev/tcp/$0/$1" || exit 1
            after=${EPOCHREALTIME-}
            [ -z "$before" ] || echo "took $((${after/./} - ${before/./}))"' "$host" "$port"
    elif [ "$way" = nc ]; then
        bounded 4 nc -z -w 3 "$host" "$port" || {
            echo "nothing answers"
            return 1
        }
    else
        curl_connects "$host" "$port" || return
        echo "took $((${waited%.*} * 1000000 + 1${waited#*.} - 1000000))"
    fi
}

ask() { # HOST:PORT
    split_address "$1" ''
    best='' vain=0 tried=0
    while [ "$tried" -lt "$tries" ]; do
        tried=$((tried + 1))
        before=$(now)
        if said=$(connect); then
            after=$(now)
            took=$((after - before))
            case $said in "took "*) took=${said#took } ;; esac
            if [ -z "$best" ] || [ "$took" -lt "$best" ]; then best=$took; fi
        else
            code=$?
            vain=$((vain + 1))
            # A lost packet must not decide.
            if [ "$vain" -eq 2 ]; then break; fi
        fi
    done
    if [ -n "$best" ]; then
        put_line "@@lf:took=$1 $best@@"
        return
    fi
    # The end of the last line that says something; a marker inside of it would end the answer early.
    last=$(put_line "$said" | tr -d '\r@' | grep . | sed -n '$p' | cut -c 1-200)
    last=${last##*: }
    case $code in 137) last='no answer within 3 s' ;; esac
    put_line "@@lf:silent=$1 ${last:-exit code $code}@@"
}

printf '\n@@lf:ready@@\n'
[ $# -ge 2 ] || fail bad_argument "2 arguments expected, $# given"
tries=$1
shift
case $tries in '' | *[!0-9]* | 0) fail bad_argument "tries $tries" ;; esac
for server in "$@"; do
    case $server in ?*:[0-9]*) ;; *) fail bad_argument "address $server" ;; esac
done
# shellcheck disable=SC2016 # bash expands it
if has bash && { [ -r /proc/uptime ] || bash -c 'test -n "${EPOCHREALTIME-}"'; }; then
    way=bash
elif has nc && [ -r /proc/uptime ]; then
    way=nc
elif exact_curl; then
    way=curl
else
    why='neither bash nor nc nor curl is on the machine'
    [ -r /proc/uptime ] || why='neither curl nor bash 5 is on the machine, and nothing else there has a clock that is fine enough'
    echo "@@lf:cannot=$why@@"
    echo '@@lf:end@@'
    exit 0
fi
asked=0
for server in "$@"; do
    ask "$server" &
    asked=$((asked + 1))
    if [ $((asked % 8)) -eq 0 ]; then wait; fi
done
wait
echo '@@lf:end@@'
