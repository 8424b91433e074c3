#!/bin/sh
# As systemd; logind ends whatever a session leaves behind, root's too (KillUserProcesses). Password or the world's key.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin logind
root_with_password "$PLAIN_PASSWORD"
login key=yes
under_systemd
mkdir -p /etc/systemd/logind.conf.d
# Root is spared unless somebody else is named.
printf '[Login]\nKillUserProcesses=yes\nKillExcludeUsers=nobody\n' >/etc/systemd/logind.conf.d/world.conf
