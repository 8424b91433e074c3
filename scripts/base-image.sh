#!/bin/bash
# Makes what docker-compose.yml starts from and git does not carry, out of Debian packages: the image landfall-base:local (the
# base root of the test world), and landfall-postgres:local on top of it; and in examples/containers what is secret: the client
# key, the password of the database, the certificate of the API. What is there and up to date stays.
#
# Usage: sudo scripts/base-image.sh
# For Debian and Ubuntu; root is needed the first time. Elsewhere: `docker save landfall-base:local` on such a machine,
# `docker load` here.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/lib/machine.sh
. scripts/lib/machine.sh

IMAGE=landfall-base:local
POSTGRES=landfall-postgres:local
EXAMPLE=examples/containers
KEY=$EXAMPLE/id_ed25519

label() { # IMAGE
    docker image inspect --format '{{ index .Config.Labels "landfall.base" }}' "$1" 2>/dev/null
}

base_image() { # BASE
    local base=$1
    # The directory is named after what is in it.
    if [ "$(label "$IMAGE")" != "${base##*/}" ]; then
        say "importing $base/root as $IMAGE"
        tar -C "$base/root" --one-file-system --numeric-owner --exclude='./dev/*' -c . |
            docker import --change "LABEL landfall.base=${base##*/}" --change 'CMD ["/bin/bash"]' - "$IMAGE" >/dev/null
    fi
}

# apt as if it were in the base: what it lacks of PostgreSQL is fetched, and nothing of this machine changes.
apt_in_base() { # BASE DIRECTORY ARGUMENT...
    apt-get -q -y --no-install-recommends -o Dir::State::status="$1/root/var/lib/dpkg/status" -o Dir::State::extended_states=/dev/null \
        -o Dir::Cache::archives="$2" -o Debug::NoLocking=1 -o APT::Sandbox::User=root "${@:3}" install postgresql
}

postgres_image() { # BASE
    local base=$1 work names want containers=tests/world/containers
    work=$(mktemp -d)
    mkdir "$work/packages"
    # URI, file, size, digest of each package.
    names=$(apt_in_base "$base" "$work/packages" --print-uris | sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p" | sort)
    want=$({ printf '%s\n' "${base##*/}" "$names" && cat "$containers"/postgres.*; } | sha256sum)
    if [ "$(label "$POSTGRES")" != "${want:0:16}" ]; then
        say "making $POSTGRES of $(wc -l <<<"$names") packages"
        apt_in_base "$base" "$work/packages" --download-only >"$work/log" 2>&1 || {
            tail -n 5 "$work/log" >&2
            fail "PostgreSQL cannot be fetched; try: apt-get update"
        }
        cp "$containers/postgres.Dockerfile" "$work/Dockerfile" && cp "$containers/postgres.sh" "$work"
        rm -rf "$work/packages/partial"
        docker build --quiet --label "landfall.base=${want:0:16}" --tag "$POSTGRES" "$work" >"$work/log" 2>&1 || {
            tail -n 20 "$work/log" >&2
            fail "$POSTGRES cannot be made"
        }
    fi
    rm -rf "$work"
}

# Of the user who has the checkout, and nobody else's.
keep() { # FILE: from stdin
    (umask 077 && cat >"$1.new")
    chown --reference="$EXAMPLE" "$1.new"
    mv "$1.new" "$1"
}

# As a line of a pgpass file: host, port, database, user, password.
database_password() {
    [ -f "$EXAMPLE/pgpass" ] || printf 'postgres:5432:landfall:landfall:%s\n' "$(openssl rand -hex 24)" | keep "$EXAMPLE/pgpass"
}

# Whoever calls the API by its port on this machine, or by its name in the network, knows it by this.
api_certificate() {
    local work
    [ ! -f "$EXAMPLE/api_cert.pem" ] || return 0
    work=$(mktemp -d)
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 -subj /CN=landfall-example \
        -addext 'subjectAltName=DNS:localhost,DNS:api,IP:127.0.0.1' -keyout "$work/key" -out "$work/cert" 2>"$work/log" ||
        fail "no certificate: $(tail -n 1 "$work/log")"
    keep "$EXAMPLE/api_key.pem" <"$work/key"
    keep "$EXAMPLE/api_cert.pem" <"$work/cert"
    rm -r "$work"
}

# It opens nothing but the hosts of docker-compose.yml; whoever has the checkout may read it.
client_key() {
    [ ! -f "$KEY.pub" ] || return 0
    # A key that was interrupted half way has no public half.
    rm -f "$KEY"
    ssh-keygen -q -t ed25519 -N '' -C landfall-example -f "$KEY"
    chown --reference=examples/containers "$KEY" "$KEY.pub"
}

case ${1:-} in
-h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit 0 ;;
esac
need_engine
need mmdebstrap ssh-keygen=openssh-client flock=util-linux openssl
need_package_sources
# One at a time: two halves of two keys would fit nobody.
exec 8<examples/containers
flock 8
BASE=$(tests/world/base.sh)
base_image "$BASE"
postgres_image "$BASE"
client_key
database_password
api_certificate
say "$IMAGE, $POSTGRES and the secrets in $EXAMPLE are there"
