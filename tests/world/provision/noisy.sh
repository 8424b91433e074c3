#!/bin/sh
# Root's .bashrc prints to both streams without a newline, also for commands; there are a banner and a MOTD.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin noisy
root_with_password "$PLAIN_PASSWORD"
cat >/root/.bashrc <<'BASHRC'
printf '\033[1mWelcome to %s\033[0m 你好 @@ 100%% ready:' "$HOSTNAME"
printf 'warning: this session is recorded; /etc/profile.d is deprecated' >&2
alias ls='ls --color=always'
BASHRC
printf '*** AUTHORISED USE ONLY 仅限授权用户 ***\n' >/etc/ssh/banner
printf 'The message of the day.\n' >/etc/motd
sshd_setting 'Banner /etc/ssh/banner' 'PrintMotd yes'
