#!/bin/sh
# Makes the package `heartbeat` for Landfall and prints the path of the archive as its last line.
# Usage: make-package.sh [OUT_DIR]     (default: the current directory)
# It needs tar and gzip and no root. The same files give the same archive, byte for byte.
set -eu
umask 022

case ${1-} in
    -h | --help) sed -n '2,4s/^# //p' "$0" && exit 0 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-.}"
out=$(cd "${1:-.}" && pwd)
archive=$out/heartbeat-1.0.0-any.tgz
(cd "$here" && tar --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --format=ustar \
    -cf - bin package.toml) | gzip -9n >"$archive.part"
mv "$archive.part" "$archive"
printf '%s\n' "$archive"
