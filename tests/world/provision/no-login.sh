#!/bin/sh
# Root's login shell is nologin.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin no-login
root_with_shell /usr/sbin/nologin
