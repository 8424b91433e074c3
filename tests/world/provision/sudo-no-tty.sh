#!/bin/sh
# User ops logs in by password; sudo insists on a terminal and the SSH server gives none (PermitTTY).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin sudo-no-tty
ops_with_password
printf 'Defaults requiretty\nops ALL=(ALL:ALL) ALL\n' >/etc/sudoers.d/ops
chmod 440 /etc/sudoers.d/ops
login "sudo_password=$OPS_PASSWORD"
sshd_setting 'PermitTTY no'
