# Hosts of the test world, and an agent for them, as scripts for people use them.
# Sourced after machine.sh, in the root directory of the project. Whoever sources it sets DIR, where all of it is.
# shellcheck shell=bash

# shellcheck disable=SC2034  # for whoever sources this
WORLD=$PWD/tests/world/world

# A field of a host in the world's list, which has one host a line.
field() { # NAME KEY
    local value
    value=$(sed -n "s/^.*\"name\":\"$1\",.*\"$2\":\"\(\(\\\\.\|[^\"\\\\]\)*\)\".*$/\1/p" "$DIR/world/hosts.json")
    [ -n "$value" ] || fail "the test world tells no $2 of $1"
    value=${value//\\\"/\"}
    printf '%s' "${value//\\\\/\\}"
}

# Needs landfall in PATH and its data directory in the environment.
add_package() {
    local made
    say "an agent package: Prometheus node_exporter, from Debian's own build of it"
    # Lists that are older than the archive name a version that it no longer has.
    made=$(examples/node-exporter/make-package.sh "$DIR" 2>"$DIR/log") || {
        apt_quietly update
        made=$(examples/node-exporter/make-package.sh "$DIR")
    }
    landfall package add "$(tail -n 1 <<<"$made")"
}
