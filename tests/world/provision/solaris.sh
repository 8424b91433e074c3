#!/bin/sh
# Solaris 10 sparc (a model): Bourne shell, SMF, what both toolsets refuse; Sun_SSH_1.1.5 with SHA-1 and ssh-rsa only; wget in /usr/sfw/bin.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"
# shellcheck source-path=SCRIPTDIR source=../unix/host.sh
. "${0%/*}/../unix/host.sh"

solaris solaris Sun_SSH_1.1.5
smf
names 's SunOS' 'r 5.10' 'v Generic_147147-26' 'm sun4v' 'p sparc' 'i SUNW,T5240' 'all snrvmpi' 'isa sparcv9 sparc' 'kernel sparcv9' 'bits 64'
stand_in simple isainfo zonename digest
cp "$REAL/bin/gzip" /usr/bin/gzip
install -d /usr/sfw/bin
cp "$REAL/bin/wget" /usr/sfw/bin/
