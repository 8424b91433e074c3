#!/bin/sh
# User ops logs in by password; sudo asks for it after a lecture, through a slow PAM stack, and runs all on a terminal of its own.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin sudo-slow
ops_with_password
printf 'Defaults lecture=always, use_pty, requiretty\nops ALL=(ALL:ALL) ALL\n' >/etc/sudoers.d/ops
chmod 440 /etc/sudoers.d/ops
sed -i '1i auth optional pam_exec.so /bin/sleep 0.7' /etc/pam.d/sudo
login "sudo_password=$OPS_PASSWORD"
