#!/bin/sh
# User ops logs in by password; su is for the group wheel, and ops is not in it (pam_wheel). There is no sudo.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin su-wheel
ops_with_password
root_for_su
without sudo
groupadd wheel
sed -i 's/^# *\(auth *required *pam_wheel.so\)$/\1/' /etc/pam.d/su
