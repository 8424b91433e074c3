#!/bin/sh
# Root's .bashrc goes over to another program, for commands too.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin rc-execs
root_with_password "$PLAIN_PASSWORD"
printf 'exec /usr/bin/id\n' >/root/.bashrc
