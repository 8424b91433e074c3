#!/bin/sh
# No tool that makes a SHA-256 digest at all.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin no-digest
root_with_password "$PLAIN_PASSWORD"
without sha1sum sha224sum sha256sum sha384sum sha512sum shasum openssl busybox
