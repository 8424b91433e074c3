#!/bin/sh
# The first process of a host: covers the places that are to be full, starts the SSH server and from then on reaps
# whatever its parents left behind. The host lives on without its server, as a machine does; it ends with this
# process. It never configures the network and never writes below /etc.
WORLD=/etc/landfall-world
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
cd /

if [ -f $WORLD/full ]; then
    while read -r place kilobytes; do
        # In a container the engine has mounted it already.
        grep -q " $place tmpfs " /proc/mounts || mount -t tmpfs -o "size=${kilobytes}k,mode=755" full "$place"
        cat /dev/zero >"$place/.full" 2>/dev/null
    done <$WORLD/full
fi

if [ -f $WORLD/mounts ]; then
    while read -r arguments; do
        # shellcheck disable=SC2086 # they are words
        mount $arguments
    done <$WORLD/mounts
fi

mkdir -p /run/sshd
if [ -f $WORLD/init ]; then
    read -r init <$WORLD/init
    exec "$init"
fi

trap 'exit 0' TERM INT
sh $WORLD/server </dev/null >/dev/null 2>&1 &
wait
# A shell reaps every orphan while it waits for a child of its own, so there is always one to wait for.
while :; do
    sleep 3600 &
    wait
done
