#!/bin/sh
# Windows (wine): cmd.exe over OpenSSH_for_Windows 9.5, code page 936, with tar and curl; Administrator logs in by password.
# base: wine
# shellcheck source-path=SCRIPTDIR source=common.sh
. "${0%/*}/common.sh"
# shellcheck source-path=SCRIPTDIR source=../windows/host.sh
. "${0%/*}/../windows/host.sh"

windows windows OpenSSH_for_Windows_9.5
echo 0 >/usr/local/lib/windows/boots
stand_in certutil
stand_in tar
stand_in curl
