#!/bin/sh
# Nowhere is a place for Landfall's state: no inodes in /var/lib, /opt and /root read-only, a link in /usr/local.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin no-places
root_with_password "$PLAIN_PASSWORD"
ln -s /srv /usr/local/landfall
cat >"$WORLD/mounts" <<'MOUNTS'
-t tmpfs -o nr_inodes=1,mode=755 few /var/lib
-t tmpfs -o ro,mode=755 ro /opt
-t tmpfs -o ro,mode=700 ro /root
MOUNTS
