#!/bin/sh
# Every place where Landfall may keep its state is full: /var/lib, /opt, /usr/local and /root.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin full-state
root_with_password "$PLAIN_PASSWORD"
printf '%s 256\n' /var/lib /opt /usr/local /root >"$WORLD/full"
