#!/bin/sh
# None of awk, curl, wget, mktemp, perl, python, openssl, busybox, zstd, setsid and systemctl.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin no-tools
root_with_password "$PLAIN_PASSWORD"
without awk mawk gawk nawk original-awk curl wget mktemp openssl busybox zstd unzstd setsid systemctl systemd-run
rm -f /usr/bin/perl* /usr/bin/python*
