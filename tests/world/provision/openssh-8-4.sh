#!/bin/sh
# The SSH server is OpenSSH 8.4, of Debian 11; root logs in by password or by the world's key.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin openssh-8-4
root_with_password "$PLAIN_PASSWORD"
login key=yes
server_of openssh-8-4
cp /opt/openssh-8-4/usr/sbin/sshd /usr/sbin/sshd
# What it is linked with and this release has no more.
dirname /opt/openssh-8-4/usr/lib/*/libcrypto.so.1.1 >/etc/ld.so.conf.d/openssh-8-4.conf
ldconfig
