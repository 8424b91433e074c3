#!/bin/sh
# The SSH server is dropbear, without sftp; root logs in by password.
# shellcheck source=common.sh
. "${0%/*}/common.sh"

begin dropbear
root_with_password "$PLAIN_PASSWORD"
rm -f /usr/lib/sftp-server
printf 'exec /usr/sbin/dropbear -F -s_DISABLED_\n' >"$WORLD/server"
