#!/bin/sh
# Root's login shell is rbash, which runs nothing that is named by a path.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin rbash
root_with_shell /bin/rbash
