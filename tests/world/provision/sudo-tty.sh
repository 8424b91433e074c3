#!/bin/sh
# User ops logs in by password; sudo asks for it and insists on a terminal (requiretty).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin sudo-tty
ops_with_password
printf 'Defaults requiretty\nops ALL=(ALL:ALL) ALL\n' >/etc/sudoers.d/ops
chmod 440 /etc/sudoers.d/ops
login "sudo_password=$OPS_PASSWORD"
