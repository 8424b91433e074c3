#!/bin/sh
# The SSH server has no sftp subsystem, hence no modern scp either.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin no-sftp
root_with_password "$PLAIN_PASSWORD"
sed -i '/^Subsystem/d' /etc/ssh/sshd_config
