#!/bin/sh
# The SSH server forwards no TCP connection (no -W, no -L); root logs in by password.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin no-forwarding
root_with_password "$PLAIN_PASSWORD"
sshd_setting 'AllowTcpForwarding no'
