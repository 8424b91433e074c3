#!/bin/sh
# Root's .bashrc exits, for commands too.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin rc-exits
root_with_password "$PLAIN_PASSWORD"
printf 'echo "maintenance until Monday"\nexit 3\n' >/root/.bashrc
