#!/bin/sh
# Two proofs in one login: root the world's key and then its password, ops its password and then the answer to a question.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin two-factors
set_password root "$PLAIN_PASSWORD"
useradd -m -s /bin/bash ops
set_password ops "$PLAIN_PASSWORD"
printf 'ops ALL=(ALL:ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/ops
chmod 440 /etc/sudoers.d/ops
login user=root key=yes
sshd_setting 'KbdInteractiveAuthentication yes' 'LogLevel VERBOSE' \
    'Match User root' 'AuthenticationMethods publickey,keyboard-interactive' \
    'Match User ops' 'AuthenticationMethods password,keyboard-interactive'
