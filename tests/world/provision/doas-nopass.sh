#!/bin/sh
# User ops logs in by password; doas asks for nothing. There is no sudo.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin doas-nopass
ops_with_password
without sudo
doas_rule 'permit nopass ops as root'
