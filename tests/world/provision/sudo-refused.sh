#!/bin/sh
# User ops logs in by password and is not in sudoers.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin sudo-refused
ops_with_password
