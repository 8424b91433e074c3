#!/bin/sh
# The usual setup directory, /usr/local, is full; every other place has room.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin full-disk
root_with_password "$PLAIN_PASSWORD"
printf '/usr/local 256\n' >"$WORLD/full"
