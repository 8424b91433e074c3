#!/bin/sh
# User ops logs in by password; doas has no rule for it. There is no sudo.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin doas-refused
ops_with_password
login "sudo_password=$OPS_PASSWORD"
without sudo
doas_rule 'permit nopass root'
