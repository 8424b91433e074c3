#!/bin/bash
# Runs one provisioning script in a root of its own and leaves what it changed as an overlay layer.
# Started in a fresh mount namespace, so nothing it mounts outlives it. It never writes to the base below.
# Arguments: BASE LAYER WORLD_DIR KIND   (LAYER is a new directory, made by the caller)
set -euo pipefail
base=$1 layer=$2 world=$3 kind=$4

work=$(mktemp -d "$layer.XXXXXX")
trap 'umount -R "$work/root" 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/work" "$work/root"
mount -t overlay -o "lowerdir=$base,upperdir=$layer,workdir=$work/work" layer "$work/root"
mount -t proc proc "$work/root/proc"
mount -t tmpfs -o mode=1777 tmp "$work/root/tmp"
mount --bind /dev "$work/root/dev"
mount --bind -o ro "$world" "$work/root/mnt"
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
    ${WORLD_PASSWORD:+"WORLD_PASSWORD=$WORLD_PASSWORD"} \
    chroot "$work/root" /bin/sh "/mnt/provision/$kind.sh" </dev/null
