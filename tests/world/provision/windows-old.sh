#!/bin/sh
# Windows (wine) of before 2018: OpenSSH_for_Windows 8.1, no tar, no curl, certutil writes in Chinese and blanks between bytes.
# base: wine
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"
# shellcheck source-path=SCRIPTDIR source=../windows/host.sh
. "${0%/*}/../windows/host.sh"

windows windows-old OpenSSH_for_Windows_8.1
stand_in certutil "$SYSTEM" -DOLD
