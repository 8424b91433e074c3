#!/bin/bash
# A throw-away PostgreSQL for tests, on a socket in a directory of its own.
# Usage: postgres.sh up DIR PID     makes it; it goes down, and DIR with it, when process PID is gone, however that ended
#        postgres.sh stop DIR       takes it down as if its machine lost power
#        postgres.sh start DIR      brings it up again
set -euo pipefail

fail() { # TEXT
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 1
}

# Debian keeps the server's programs of each version apart, and out of PATH.
bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
[ -x "$bin/initdb" ] || fail 'PostgreSQL is not here, and tests need it. Run: apt-get install --no-install-recommends postgresql'

# The server refuses to run as root.
as_owner=()
if [ "$(id -u)" = 0 ]; then
    as_owner=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi

control() { # ARGUMENT...
    "${as_owner[@]}" "$bin/pg_ctl" --silent --pgdata="$dir/data" "$@" >>"$dir/control.log" 2>&1 </dev/null ||
        fail "pg_ctl $* failed: $(tail -n 5 "$dir/control.log" "$dir/server.log" 2>/dev/null)"
}

start() {
    # Nothing here outlives its tests, so nothing has to reach a disk.
    control --wait --log="$dir/server.log" start \
        --options="-k '$dir' -c listen_addresses='' -c max_connections=300 -c fsync=off -c log_min_messages=warning"
}

[ $# -ge 2 ] || fail "usage: ${0##*/} up|stop|start DIR [PID]"
dir=$2
cd /
case $1 in
up)
    mkdir -p "$dir"
    chmod 700 "$dir"
    [ "$(id -u)" != 0 ] || chown postgres:postgres "$dir"
    log=$("${as_owner[@]}" "$bin/initdb" --pgdata="$dir/data" --username=landfall --auth=trust --encoding=UTF8 \
        --locale=C.UTF-8 --no-sync --no-instructions 2>&1 </dev/null) || fail "initdb failed: $log"
    start
    # A session of its own: it outlives the test that called this, and dies with nobody's terminal.
    # shellcheck disable=SC2016  # for the inner shell
    setsid bash -c '
        tail --pid="$1" -f /dev/null
        "${@:4}" "$3/pg_ctl" --silent --pgdata="$2/data" --mode=immediate stop
        rm -rf "$2" "$2.lock"
    ' keeper "$3" "$dir" "$bin" "${as_owner[@]}" </dev/null >/dev/null 2>&1 &
    ;;
stop) control --wait --mode=immediate stop ;;
start) start ;;
*) fail "what is '$1'?" ;;
esac
