#!/bin/sh
# Turns a root with wine into one with a Windows on it: the user Administrator, drive C at /C:, code page 936. Run once as root
# in that root, when it is built (base.sh); what the kinds add to it is host.sh's.
set -eu
# shellcheck source-path=SCRIPTDIR source=wine.sh
. "${0%/*}/wine.sh"

localedef -i zh_CN -f UTF-8 zh_CN.UTF-8
useradd -m -s /bin/sh Administrator

# wine's cmd.exe cannot make or remove a junction. Words that its table no longer has are looked for as programs, and those are ours.
perl -0777 -pi -e '
    for my $word ("RD", "RMDIR", "MKLINK") {
        my $entry = "\0\0" . join("", map { "$_\0" } split //, $word) . "\0" x (20 - 2 * length $word);
        substr($_, index($_, $entry) + 2, 2) = "\1\0" if index($_, $entry) >= 0 or die "cmd.exe has no $word\n";
    }' "$WINE_PROGRAMS/cmd.exe"

(as_administrator "$WINE" wineboot -i)
# The registry is whole on disk when the server has ended.
(as_administrator "$WINESERVER" -k) || true
(as_administrator "$WINESERVER" -w)
# Nothing here is drawn, and every cmd.exe would begin with a look at all fonts.
rm -f /usr/lib/x86_64-linux-gnu/libfreetype.so.* /usr/lib/x86_64-linux-gnu/libfontconfig.so.*
# The names of drive C are then the same by SFTP (`/C:/...`) as they are to Windows.
mv "$PREFIX/drive_c" /C:
ln -sfn /C: "$PREFIX/dosdevices/c:"
