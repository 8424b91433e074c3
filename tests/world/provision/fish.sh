#!/bin/sh
# Root's login shell is fish.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin fish
root_with_shell /usr/bin/fish
