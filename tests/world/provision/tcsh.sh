#!/bin/sh
# Root's login shell is tcsh.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin tcsh
root_with_shell /bin/tcsh
