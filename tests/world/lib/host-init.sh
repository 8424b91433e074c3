#!/bin/sh
# Makes one host out of fresh namespaces, as their first process, and becomes the host's pid 1.
# It never writes outside the host's own tree, and never mounts anything that the machine itself would see.
# Arguments: TREE LOWER NAME ADDRESS/BITS ADDRESS6/BITS HOST_KEY_DIR AUTHORIZED_KEYS
# (TREE holds upper, work, root and boot_id; AUTHORIZED_KEYS may be empty)
set -eu
tree=$1 lower=$2 name=$3 address=$4 address6=$5 host_key=$6 authorized=$7
root=$tree/root

options=lowerdir=$lower,upperdir=$tree/upper,workdir=$tree/work
# volatile: a host that is switched off loses nothing that matters, and syncing 50 of them would take seconds.
mount -t overlay -o "$options,volatile" "$name" "$root" 2>/dev/null || mount -t overlay -o "$options" "$name" "$root"
mount -t proc proc "$root/proc"
printf '%s\n' "$name" >"$root/proc/sys/kernel/hostname"
mount --bind "$tree/boot_id" "$root/proc/sys/kernel/random/boot_id"
# Kernel settings are the machine's; a test that writes one on a host must fail instead.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount --bind "$tree/boot_id" "$root/proc/sys/kernel/random/boot_id"
[ ! -e "$root/proc/sysrq-trigger" ] || mount --bind /dev/null "$root/proc/sysrq-trigger"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t tmpfs -o mode=755,size=64k dev "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,gid=5,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$root/dev/"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"

if [ ! -e "$root/etc/ssh/ssh_host_ed25519_key" ]; then
    cp -p "$host_key"/ssh_host_* "$root/etc/ssh/"
    printf '%s\n' "$name" >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n%s %s\n' "$name" "${address%/*}" "$name" >"$root/etc/hosts"
    if [ -n "$authorized" ]; then
        install -d -m 700 "$root/root/.ssh"
        install -m 600 "$authorized" "$root/root/.ssh/authorized_keys"
    fi
fi

ip -batch - <<NETWORK
link set lo up
addr add $address dev eth0
link set eth0 up
NETWORK
if [ -n "$address6" ] && [ -e /proc/net/if_inet6 ]; then
    ip addr add "$address6" dev eth0 nodad
fi

if [ -e "$root/etc/landfall-world/init" ] && [ -n "${LANDFALL_WORLD_CGROUP:-}" ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi

cd "$root"
pivot_root . mnt
exec </dev/null
exec chroot . /usr/bin/env -i container=landfall-world /bin/sh -c 'umount -l /mnt && exec /bin/sh /etc/landfall-world/pid1'
