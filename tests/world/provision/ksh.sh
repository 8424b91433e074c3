#!/bin/sh
# Root's login shell is ksh93.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin ksh
root_with_shell /bin/ksh93
