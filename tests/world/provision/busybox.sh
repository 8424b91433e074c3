#!/bin/sh
# Login shell, /bin/sh and every tool that has an applet are busybox's; no bash, perl, zstd or systemctl.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin busybox
root_with_shell /bin/ash
# What PAM and set-uid programs are made of stays; busybox's su and login know no PAM.
keep=' su login passwd init '
busybox --list >/tmp/applets
while read -r applet; do
    case $keep in *" $applet "*) continue ;; esac
    for dir in /usr/bin /usr/sbin /bin /sbin; do
        if [ -e "$dir/$applet" ] && [ "$applet" != busybox ]; then
            busybox ln -sf /usr/bin/busybox "$dir/$applet"
        fi
    done
done </tmp/applets
busybox ln -sf /usr/bin/busybox /bin/ash
busybox ln -sf busybox /usr/bin/sh
busybox rm -f /tmp/applets
without bash dash zstd unzstd zstdcat systemctl systemd-run
busybox rm -f /usr/bin/perl*
