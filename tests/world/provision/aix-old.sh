#!/bin/sh
# AIX 6.1 (a model) of 32 bits: the resource controller is down, no gzip, no curl, nothing that knows SHA-256; OpenSSH_4.3.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"
# shellcheck source-path=SCRIPTDIR source=../unix/host.sh
. "${0%/*}/../unix/host.sh"

aix aix-old OpenSSH_4.3
names 's AIX' 'r 1' 'v 6' 'm 00C8D2B04C00' 'p powerpc' 'all snrvm' 'oslevel 6.1.0.0' 'oslevel -r 6100-09' 'oslevel -s 6100-09-12-1846' \
    'bits 32' 'csum MD5 SHA1'
sed -i '/^srcmstr:/d' /etc/inittab
