#!/bin/sh
# The SSH server knows nothing newer than SHA-1, CBC and ssh-rsa; root logs in by password.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin sha1
root_with_password "$PLAIN_PASSWORD"
ssh-keygen -q -t rsa -b 2048 -N '' -f /etc/landfall-world/rsa
sed -i '/^HostKey/d' /etc/ssh/sshd_config.d/50-world.conf
sshd_setting "HostKey $WORLD/rsa" 'KexAlgorithms diffie-hellman-group14-sha1' 'HostKeyAlgorithms ssh-rsa' \
    'Ciphers aes128-cbc' 'MACs hmac-sha1'
