#!/bin/sh
# Root logs in by password; the password has the characters that quoting gets wrong.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin password
root_with_password "Pa ss\$w\"0rd'!"
