#!/bin/sh
# No sha256sum; openssl is the only tool that makes a digest.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin no-sha256sum
root_with_password "$PLAIN_PASSWORD"
without sha256sum shasum busybox
