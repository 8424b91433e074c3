#!/bin/sh
# Nothing that unpacks: no gzip, zstd or busybox; tar is there.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin no-gzip
root_with_password "$PLAIN_PASSWORD"
without gzip gunzip zcat uncompress zstd unzstd zstdcat bzip2 xz busybox
