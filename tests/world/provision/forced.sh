#!/bin/sh
# The SSH server runs a menu whatever the command (ForceCommand); root logs in by password.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin forced
root_with_password "$PLAIN_PASSWORD"
sshd_setting 'ForceCommand echo "1) status  2) logs"; exit 1'
