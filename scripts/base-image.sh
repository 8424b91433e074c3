#!/bin/bash
# Makes what docker-compose.yml starts from and git does not carry: the image landfall-base:local, out of Debian packages (the
# base root of the test world), and the client key examples/containers/id_ed25519. What is there and up to date stays.
#
# Usage: sudo scripts/base-image.sh
# For Debian and Ubuntu; root is needed the first time. Elsewhere: `docker save landfall-base:local` on such a machine,
# `docker load` here.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/lib/machine.sh
. scripts/lib/machine.sh

IMAGE=landfall-base:local
KEY=examples/containers/id_ed25519

base_image() {
    local base
    base=$(tests/world/base.sh)
    # The directory is named after what is in it.
    if [ "$(docker image inspect --format '{{ index .Config.Labels "landfall.base" }}' "$IMAGE" 2>/dev/null)" != "${base##*/}" ]; then
        say "importing $base/root as $IMAGE"
        tar -C "$base/root" --one-file-system --numeric-owner --exclude='./dev/*' -c . |
            docker import --change "LABEL landfall.base=${base##*/}" --change 'CMD ["/bin/bash"]' - "$IMAGE" >/dev/null
    fi
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
-h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0" && exit 0 ;;
esac
need_engine
need mmdebstrap ssh-keygen=openssh-client flock=util-linux
need_package_sources
# One at a time: two halves of two keys would fit nobody.
exec 8<examples/containers
flock 8
base_image
client_key
say "$IMAGE and $KEY are there"
