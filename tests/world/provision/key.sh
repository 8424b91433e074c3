#!/bin/sh
# Root logs in by an ed25519 key only (the world's); passwords are not offered.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin key
usermod -p '*' root
login user=root key=yes
sshd_setting 'PasswordAuthentication no' 'KbdInteractiveAuthentication no'
