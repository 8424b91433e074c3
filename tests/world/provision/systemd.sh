#!/bin/sh
# Process 1 is a real systemd, which also starts the SSH server; root logs in by password.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin systemd
root_with_password "$PLAIN_PASSWORD"
printf '/lib/systemd/systemd\n' >"$WORLD/init"
ln -sf /lib/systemd/system/multi-user.target /etc/systemd/system/default.target
# What a host of its own hardware would need; here it would only wait for devices and consoles that never come.
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
    console-getty.service getty.target systemd-logind.service systemd-update-utmp.service \
    ssh.socket systemd-networkd.service systemd-resolved.service systemd-timesyncd.service \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
systemctl --quiet enable ssh.service
# A journal in memory: what matters is that the units' output has somewhere to go.
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\n' >/etc/systemd/journald.conf.d/world.conf
