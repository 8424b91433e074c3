#!/bin/sh
# User ops logs in by password; sudo asks for it, after its lecture on stderr every time.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin sudo
ops_with_password
# Debian's own build gives no lecture unless it is told to.
printf 'Defaults lecture=always\nops ALL=(ALL:ALL) ALL\n' >/etc/sudoers.d/ops
chmod 440 /etc/sudoers.d/ops
login "sudo_password=$OPS_PASSWORD"
