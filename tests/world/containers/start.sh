#!/bin/sh
# The first process of a host in a container: puts the client's key where the SSH server looks for it, which in the namespace
# world is done from outside, and becomes the kind's own first process.
set -eu
if grep -q '^key=' /etc/landfall-world/login; then
    [ -f /client.pub ] || {
        echo 'no client key at /client.pub; make it: scripts/base-image.sh' >&2
        exit 1
    }
    # A copy: of a mounted file the SSH server would not accept the owner.
    install -d -m 700 /root/.ssh
    install -m 600 /client.pub /root/.ssh/authorized_keys
fi
exec /bin/sh /etc/landfall-world/pid1
