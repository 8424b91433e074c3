#!/bin/sh
# Accounts whose right password is not enough: expired, gone, shellless, and lockable, which one wrong password locks.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin barred
for account in expired asked gone shellless lockable; do
    useradd -m -s /bin/bash "$account"
    set_password "$account" "$PLAIN_PASSWORD"
done
chage -d 0 expired
chage -d 0 asked
chage -E 1 gone
usermod -s /usr/sbin/nologin shellless
root_with_password "$PLAIN_PASSWORD"

# Only a dialogue carries PAM's words to the client.
sshd_setting 'KbdInteractiveAuthentication yes' 'Match User asked,lockable' 'PasswordAuthentication no'
faillock='deny=1 unlock_time=600 dir=/var/lib/faillock'
mkdir -p /var/lib/faillock
sed -i "s|^@include common-auth|auth required pam_faillock.so preauth $faillock\\
auth [success=1 default=bad] pam_unix.so\\
auth [default=die] pam_faillock.so authfail $faillock\\
auth sufficient pam_faillock.so authsucc $faillock|" /etc/pam.d/sshd
