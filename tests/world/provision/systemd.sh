#!/bin/sh
# Process 1 is a real systemd, which also starts the SSH server; root logs in by password.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin systemd
root_with_password "$PLAIN_PASSWORD"
under_systemd
# Logins are no sessions here.
ln -s /dev/null /etc/systemd/system/systemd-logind.service
