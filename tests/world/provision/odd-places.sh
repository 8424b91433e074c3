#!/bin/sh
# /var/lib has no inodes, /opt is read-only, /usr/local and /tmp are noexec, /proc hides processes; room is in /srv.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin odd-places
root_with_password "$PLAIN_PASSWORD"
cat >"$WORLD/mounts" <<'MOUNTS'
-t tmpfs -o nr_inodes=1,mode=755 few /var/lib
-t tmpfs -o ro,mode=755 ro /opt
-t tmpfs -o noexec,mode=755 noexec /usr/local
-o remount,noexec /tmp
-o remount,hidepid=2 /proc
MOUNTS
