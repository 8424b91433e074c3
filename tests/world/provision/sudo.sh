#!/bin/sh
# User ops logs in by password; sudo asks for it, with Debian's lecture before the first time.
# shellcheck source=common.sh
. "${0%/*}/common.sh"

begin sudo
ops_with_password
usermod -aG sudo ops
login "sudo_password=$OPS_PASSWORD"
