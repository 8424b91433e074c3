#!/bin/sh
# Root's .bashrc asks something and waits, for commands too.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin rc-asks
root_with_password "$PLAIN_PASSWORD"
cat >/root/.bashrc <<'BASHRC'
printf 'Which project do you work for? '
read -r project
BASHRC
