#!/bin/bash
# Tries the HTTP API with clients that others wrote: builds Landfall, brings up two SSH hosts, and lets on `landfall serve`
#   bkapi-client-core             submit an install and follow it until every host is SUCCESS,
#   bk-crypto-python-sdk          do the same with passwords that it sealed,
#   schemathesis                  ask what /openapi.json describes, thousands of times, right and wrong; that server dials nobody.
#
# Usage: sudo scripts/clients.sh [--examples N]
#   --examples N   test cases of schemathesis per operation and phase (25); more of them find more
#
# For Debian and Ubuntu. Installs the Debian packages that are missing; the Python packages (tests/clients/requirements.txt)
# go into a virtual environment below target/. All else is in one temporary directory.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/lib/machine.sh
. scripts/lib/machine.sh
# shellcheck source=scripts/lib/hosts.sh
. scripts/lib/hosts.sh

CLIENTS=$PWD/tests/clients
EXAMPLES=25
# Until there is a directory there is nothing to take down.
DIR=
SERVERS=()

options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --examples) EXAMPLES=${2:?--examples needs a number} && shift ;;
        -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit 0 ;;
        *) fail "unknown option $1; see $0 --help" ;;
        esac
        shift
    done
}

clean_up() {
    local status=$? pid
    trap - EXIT
    for pid in "${SERVERS[@]}"; do
        if kill "$pid" 2>/dev/null; then wait "$pid" || status=1; fi
    done
    [ -n "$DIR" ] || exit "$status"
    "$WORLD" down --dir "$DIR/world" </dev/null || status=1
    rm -rf "$DIR"
    exit "$status"
}

build() {
    say "building landfall (the first time takes some minutes)"
    cargo build --locked --workspace --bin landfall
    PATH=$(realpath "${CARGO_TARGET_DIR:-target}/debug"):$PATH
}

# Made anew when the list of packages changes.
python_packages() {
    local place=${CARGO_TARGET_DIR:-target}/clients
    if ! cmp -s "$CLIENTS/requirements.txt" "$place/requirements.txt"; then
        say "Python packages: tests/clients/requirements.txt"
        rm -rf "$place"
        python3 -m venv "$place"
        "$place/bin/pip" --disable-pip-version-check -q install -r "$CLIENTS/requirements.txt"
        cp "$CLIENTS/requirements.txt" "$place/requirements.txt"
    fi
    PYTHON=$(realpath -s "$place/bin")
}

# Starts a server with a data directory of its own, and sets URL.
serve() { # NAME ARGUMENT...
    local name=$1 out=$DIR/$1.out end=$((SECONDS + 30))
    shift
    landfall serve --listen 127.0.0.1:0 "$@" >"$out" 2>"$DIR/$name.log" </dev/null &
    SERVERS+=($!)
    until URL=$(sed -n 's/^listening on //p' "$out") && [ -n "$URL" ]; do
        [ -d "/proc/$!" ] && [ "$SECONDS" -lt "$end" ] && sleep 0.1 && continue
        fail "$name: the server does not start: $(tail -n 5 "$DIR/$name.log")"
    done
    say "$name: landfall serve${*:+ $*} on $URL"
}

start_hosts() {
    say "two hosts: web (root, password), ops (sudo with a password)"
    "$WORLD" up --dir "$DIR/world" --owner $$ web=password ops=sudo </dev/null
}

try_installs() {
    local -x LANDFALL_DATA_DIR=$DIR/installs
    add_package
    serve installs
    say "bkapi-client-core: an install, followed to its end"
    "$PYTHON/python" "$CLIENTS/bkapi.py" "$URL" "$DIR/world/hosts.json"
    say "bk-crypto-python-sdk: an install with sealed passwords"
    "$PYTHON/python" "$CLIENTS/rsa.py" "$URL" "$DIR/world/hosts.json"
}

# A question about a job is worth something only if there is one: the job of the document's examples, which stays PENDING.
try_everything() {
    local -x LANDFALL_DATA_DIR=$DIR/questions
    local job='{"job_type": "REINSTALL_AGENT", "hosts": [{"bk_biz_id": 2, "bk_cloud_id": 0, "inner_ip": "127.0.0.5", "password": "x"}]}'
    cp -r "$DIR/installs/packages" "$DIR/packages" && install -d -m 700 "$DIR/questions" && mv "$DIR/packages" "$DIR/questions/"
    serve questions --api-only
    "$PYTHON/python" - "$URL" "$job" <<'PYTHON'
import sys, requests
answer = requests.post(sys.argv[1] + "/api/job/install/", data=sys.argv[2], timeout=30).json()
sys.exit(None if answer["data"]["job_id"] == 1 else f"no job 1: {answer}")
PYTHON
    say "schemathesis: $URL/openapi.json"
    # A business error is HTTP 200 on purpose, so that negative_data_rejection, which wants a 4xx for every wrong body, cannot
    # hold. The stream of events has no end that could be waited for.
    (cd "$DIR" && "$PYTHON/schemathesis" run "$URL/openapi.json" --exclude-path '/api/job/{id}/events/' \
        --checks all --exclude-checks negative_data_rejection --max-examples "$EXAMPLES" --generation-database none)
}

main() {
    options "$@"
    need_rust
    need_root
    need "${FOR_BUILDING[@]}" "${FOR_THE_WORLD[@]}" python3
    # No command: what Debian leaves out of python3.
    python3 -c 'import ensurepip, venv' 2>/dev/null || need ensurepip=python3-venv
    need_package_sources
    trap clean_up EXIT
    trap 'exit 130' INT TERM HUP
    build
    python_packages
    local begun=$SECONDS
    DIR=$(mktemp -d "${TMPDIR:-/tmp}/landfall-clients.XXXXXX")
    # No site file and no record of this machine shall have a say here; an empty one is the built-in site.
    : >"$DIR/site.toml"
    export LANDFALL_SITE=$DIR/site.toml
    unset LANDFALL_DATABASE_URL LANDFALL_KEY_FILE
    start_hosts
    try_installs
    try_everything
    say "all of them: ok, $((SECONDS - begun)) s"
}

main "$@"
