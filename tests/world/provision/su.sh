#!/bin/sh
# User ops, whose shell is csh, logs in by password; su asks for that of root, whose shell is tcsh. There is no sudo.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin su
ops_with_password
usermod -s /bin/bsd-csh ops
root_for_su
usermod -s /bin/tcsh root
without sudo
