#!/bin/sh
# Root has no home; for commands too its shell has umask 000, TMOUT, IFS and CDPATH set and no HOME.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin odd-env
root_with_password "$PLAIN_PASSWORD"
sed -i 's,^\(root:.*\):/root:,\1:/nonexistent:,' /etc/passwd
# Without a home there is no .bashrc: the system's own.
cat >/etc/bash.bashrc <<'BASHRC'
umask 000
export TMOUT=1 IFS=/ CDPATH=/usr:/tmp POSIXLY_CORRECT=1 GREP_OPTIONS=-v
unset HOME
BASHRC
