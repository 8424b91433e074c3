#!/bin/sh
# The first process of a host in a container: puts the client's key where the SSH server looks for it, which in the namespace
# world is done from outside, and becomes the kind's own first process.
# In the words that a Bourne shell and the tools of AIX and Solaris know, because there it is run by those.
set -eu
if grep '^key=' /etc/landfall-world/login >/dev/null; then
    [ -f /client.pub ] || {
        echo 'no client key at /client.pub; make it: scripts/base-image.sh' >&2
        exit 1
    }
    # A copy: of a mounted file the SSH server would not accept the owner.
    mkdir -p /root/.ssh
    chmod 700 /root/.ssh
    cp /client.pub /root/.ssh/authorized_keys
    chmod 600 /root/.ssh/authorized_keys
fi
exec /bin/sh /etc/landfall-world/pid1
