#!/bin/sh
# Root's login shell is zsh, and its .zshenv prints.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"

begin zsh
root_with_shell /bin/zsh
printf 'print -n "Welcome to zsh: "\n' >/root/.zshenv
