#!/bin/sh
# Another SSH server, which ends the connection after one command; root logs in by the world's key, nobody by password.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin tinyssh
usermod -p '*' root
login user=root key=yes
# It reads the two halves of the host's key as bare bytes, which stand at fixed places in a key without a passphrase.
cat >"$WORLD/server" <<'SERVER'
keys=/run/tinyssh
mkdir -p -m 700 $keys
key() { sed '/^-/d' /etc/ssh/ssh_host_ed25519_key | base64 -d | tail -c +"$1" | head -c "$2"; }
key 126 32 >$keys/ed25519.pk
key 162 64 >$keys/.ed25519.sk
: >/run/sshd.pid
exec tcpserver -HRDl0 0 22 tinysshd -v $keys 2>>/var/log/sshd.log
SERVER
