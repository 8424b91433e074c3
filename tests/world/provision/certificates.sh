#!/bin/sh
# Root logs in by a key or by a certificate of whatever authority /etc/ssh/user_ca.pub names; the host may have one, too.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin certificates
usermod -p '*' root
login user=root key=yes
sshd_setting 'PasswordAuthentication no' 'KbdInteractiveAuthentication no' \
    'TrustedUserCAKeys /etc/ssh/user_ca.pub' 'HostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub'
