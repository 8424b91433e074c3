#!/bin/sh
# AIX 7.2 (a model): ksh, SRC, inittab, what it refuses; OpenSSH_6.0; curl and gzip only in /opt/freeware/bin; root by password or key.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"
# shellcheck source-path=SCRIPTDIR source=../unix/host.sh
. "${0%/*}/../unix/host.sh"

aix aix OpenSSH_6.0
names 's AIX' 'r 2' 'v 7' 'm 00F6D5A44C00' 'p powerpc' 'all snrvm' 'oslevel 7.2.0.0' 'oslevel -r 7200-05' 'oslevel -s 7200-05-03-2148' \
    'bits 64' 'csum MD5 SHA1 SHA256 SHA384 SHA512'
install -d /opt/freeware/bin
cp "$REAL/bin/curl" "$REAL/bin/gzip" /opt/freeware/bin/
