#!/bin/sh
# Solaris 9 i386 (a model): no SMF but rc3.d, no gzip, no digest, no wget; Bourne shell; Sun_SSH_1.1 with SHA-1 and ssh-rsa only.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"
# shellcheck source-path=SCRIPTDIR source=../unix/host.sh
. "${0%/*}/../unix/host.sh"

solaris solaris-old Sun_SSH_1.1
names 's SunOS' 'r 5.9' 'v Generic_118559-41' 'm i86pc' 'p i386' 'i i86pc' 'all snrvmpi' 'isa i386' 'kernel i386' 'bits 32'
stand_in simple isainfo
rm /usr/bin/pargs /usr/bin/pwdx
