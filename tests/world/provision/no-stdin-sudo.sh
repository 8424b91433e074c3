#!/bin/sh
# The SSH server gives commands an empty stdin; user ops logs in by password, his shell is tcsh, and sudo asks for nothing.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin no-stdin-sudo
ops_with_password
usermod -s /bin/tcsh ops
printf 'ops ALL=(ALL:ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/ops
chmod 440 /etc/sudoers.d/ops
commands_without_stdin
