#!/bin/sh
# The SSH server allows one session channel at a time on a connection (MaxSessions 1).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin one-session
root_with_password "$PLAIN_PASSWORD"
sshd_setting 'MaxSessions 1'
