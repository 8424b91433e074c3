#!/bin/sh
# No tar (nor busybox, which would bring one).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin no-tar
root_with_password "$PLAIN_PASSWORD"
without tar busybox cpio
