#!/bin/sh
# The SSH server is dropbear, without sftp; root logs in by password.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin dropbear
root_with_password "$PLAIN_PASSWORD"
rm -f /usr/lib/sftp-server
cat >"$WORLD/server" <<'SERVER'
dropbearconvert openssh dropbear /etc/ssh/ssh_host_ed25519_key /run/dropbear_key
exec dropbear -F -r /run/dropbear_key -P /run/dropbear.pid
SERVER
