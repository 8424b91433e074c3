#!/bin/sh
# Root logs in by keyboard-interactive only; the password method is refused.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin kbdint
root_with_password "$PLAIN_PASSWORD"
sshd_setting 'PasswordAuthentication no' 'KbdInteractiveAuthentication yes'
