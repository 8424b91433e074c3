#!/bin/sh
# The SSH server gives commands an empty stdin (ForceCommand), and one channel at a time; root logs in by password.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin no-stdin
root_with_password "$PLAIN_PASSWORD"
commands_without_stdin
sshd_setting 'MaxSessions 1'
