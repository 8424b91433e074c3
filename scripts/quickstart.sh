#!/bin/bash
# Shows Landfall at work: builds it, brings up three SSH hosts on this machine, installs Prometheus node_exporter on all of
# them, shows the record, asks each agent for its metrics, removes the agents again and takes everything down.
#
# Usage: sudo scripts/quickstart.sh [--keep]
#   --keep   leave the hosts running with their agents, and tell what can be done with them
#
# For Debian and Ubuntu. Installs the Debian packages that are missing; all else is in one temporary directory.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/lib/machine.sh
. scripts/lib/machine.sh
# shellcheck source=scripts/lib/hosts.sh
. scripts/lib/hosts.sh

HOSTS=(web db ops)
KEEP=no
# Until there is a directory there is nothing to take down.
DIR=

options() {
    local option
    for option; do
        case $option in
        --keep) KEEP=yes ;;
        -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit 0 ;;
        *) fail "unknown option $option; see $0 --help" ;;
        esac
    done
}

clean_up() {
    local status=$?
    trap - EXIT
    [ -n "$DIR" ] || exit "$status"
    if [ "$KEEP" = yes ] && [ "$status" = 0 ]; then exit 0; fi
    "$WORLD" down --dir "$DIR/world" </dev/null || status=1
    rm -rf "$DIR"
    exit "$status"
}

build() {
    say "building landfall (the first time takes some minutes)"
    # Without --release: built in half the time, and three hosts do not notice.
    cargo build --locked --workspace --bin landfall
    PATH=$(realpath "${CARGO_TARGET_DIR:-target}/debug"):$PATH
}

start_hosts() {
    local owner=(--owner $$)
    # Whoever owns a world takes it along when it ends.
    [ "$KEEP" = no ] || owner=()
    say "three hosts: web (root, password), db (root, key), ops (sudo with a password)"
    "$WORLD" up --dir "$DIR/world" "${owner[@]}" web=password db=key ops=sudo </dev/null
}

# A job is the body of the API call. A secret may stand in it, or in a variable or a file that it names.
write_job() { # KIND
    cat <<JOB
{
  "job_type": "$1",
  "hosts": [
    { "bk_biz_id": 2, "bk_cloud_id": 0, "ap_id": 1, "inner_ip": "$(field web ip)", "os_type": "LINUX",
      "account": "root", "port": 22, "auth_type": "PASSWORD", "password": { "env": "WEB_PASSWORD" } },
    { "bk_biz_id": 2, "bk_cloud_id": 0, "ap_id": 1, "inner_ip": "$(field db ip)", "os_type": "LINUX",
      "account": "root", "port": 22, "auth_type": "KEY", "key": { "file": "world/id_ed25519" } },
    { "bk_biz_id": 2, "bk_cloud_id": 0, "ap_id": 1, "inner_ip": "$(field ops ip)", "os_type": "LINUX",
      "account": "ops", "port": 22, "auth_type": "PASSWORD", "password": { "file": "ops.password" },
      "sudo_password": { "file": "ops.sudo_password" } }
  ]
}
JOB
}

write_files() {
    # No site file of this machine shall have a say here; an empty one is the built-in site.
    : >"$DIR/site.toml"
    field ops password >"$DIR/ops.password"
    field ops sudo_password >"$DIR/ops.sudo_password"
    write_job INSTALL_AGENT >"$DIR/install.json"
    write_job UNINSTALL_AGENT >"$DIR/uninstall.json"
    printf 'export %s=%q\n' LANDFALL_DATA_DIR "$DIR/data" LANDFALL_SITE "$DIR/site.toml" PATH "$PATH" \
        WEB_PASSWORD "$(field web password)" >"$DIR/env"
    printf 'unset LANDFALL_DATABASE_URL LANDFALL_KEY_FILE\n' >>"$DIR/env"
}

show_record() {
    local job success
    job=$(landfall job list --limit 1 | tail -n 1 | { read -r id _ && printf '%s' "$id"; })
    say "the record of job $job: landfall job show $job"
    landfall job show "$job" | tee "$DIR/record"
    success=$(sed -n 's/^\([0-9a-f.:]*\)  *SUCCESS.*/\1/p' "$DIR/record" | sort -u | wc -l)
    [ "$success" = "${#HOSTS[@]}" ] || fail "$success of ${#HOSTS[@]} hosts are SUCCESS in the record of job $job"
}

# The line of the agent's metrics that says what it is. By bash's own sockets, since curl may not be here.
agent_info() { # ADDRESS
    # shellcheck disable=SC2016  # $1 is the inner shell's
    timeout 10 bash -c 'exec 3<>"/dev/tcp/$1/9100" && printf "GET /metrics HTTP/1.0\r\n\r\n" >&3 &&
        grep -m 1 "^node_exporter_build_info" <&3' _ "$1"
}

ask_agents() {
    local host ip line
    say "what the agents answer on port 9100, at /metrics"
    for host in "${HOSTS[@]}"; do
        ip=$(field "$host" ip)
        line=$(agent_info "$ip") || fail "the agent on $host ($ip) does not answer"
        printf '%-4s %-14s %s\n' "$host" "$ip" "$line"
    done
}

see_them_gone() {
    local host
    for host in "${HOSTS[@]}"; do
        ! agent_info "$(field "$host" ip)" >/dev/null 2>&1 || fail "the agent on $host still answers"
    done
    say "no agent answers any more"
}

tell_how_to_play() {
    say "the hosts are yours; as root:"
    cat <<PLAY
. $DIR/env                          # landfall's places, and WEB_PASSWORD for the jobs
landfall job list                                      landfall job log 1
landfall run $DIR/install.json      # again: nothing is sent twice
landfall run $DIR/uninstall.json    # gone; landfall job list shows both
$WORLD list --dir $DIR/world        # addresses, users, passwords
ssh -F $DIR/world/ssh_config db     # log in; the others by their passwords
$WORLD cut web --dir $DIR/world     # pull its network cable out (heal: put it back), then run a job
More in $DIR: install.json, uninstall.json, data/ (the record). To end it all:
$WORLD down --dir $DIR/world && rm -rf $DIR
PLAY
}

main() {
    options "$@"
    need_rust
    need_root
    need "${FOR_BUILDING[@]}" "${FOR_THE_WORLD[@]}"
    need_package_sources
    trap clean_up EXIT
    trap 'exit 130' INT TERM HUP
    build
    local begun=$SECONDS
    DIR=$(mktemp -d "${TMPDIR:-/tmp}/landfall-quickstart.XXXXXX")
    start_hosts
    (umask 077 && write_files)
    # shellcheck source=/dev/null
    . "$DIR/env"
    add_package
    say "INSTALL_AGENT on all three: landfall run install.json"
    landfall run "$DIR/install.json"
    show_record
    ask_agents
    if [ "$KEEP" = yes ]; then
        tell_how_to_play
    else
        say "UNINSTALL_AGENT on all three: landfall run uninstall.json"
        landfall run "$DIR/uninstall.json"
        see_them_gone
    fi
    say "done, $((SECONDS - begun)) s after the build"
}

main "$@"
