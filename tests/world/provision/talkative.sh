#!/bin/sh
# The SSH server says lines before its version; one process for each connection; a banner before the login.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin talkative
root_with_password "$PLAIN_PASSWORD"
printf '*** AUTHORISED USE ONLY 仅限授权用户 ***\n' >/etc/ssh/banner
sshd_setting 'Banner /etc/ssh/banner'
printf '%s\n' '#!/bin/sh' 'printf "Welcome to the gate\r\nThis is not SSH-2.0 yet\r\n"' 'exec /usr/sbin/sshd -i -E /var/log/sshd.log' >"$WORLD/gate"
chmod 755 "$WORLD/gate"
cat >"$WORLD/server" <<'SERVER'
: >/run/sshd.pid
exec tcpserver -HRDl0 0 22 /etc/landfall-world/gate
SERVER
