#!/bin/sh
# Root's login shell is the BSD csh.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin csh
root_with_shell /bin/bsd-csh
