#!/bin/sh
# Makes a package of the gse layout for Landfall and prints the path of the archive as its last line.
# Usage: make-package.sh [-b BIN] [-c CPU] [-v VERSION] agent|proxy [OUT_DIR]
#   -b BIN      directory with the programs of a release; the stand-in's without it
#   -c CPU      what `uname -m` says where they run (any)
#   -v VERSION  of the release (1.0.0)
# It needs tar and gzip and no root. The same files give the same archive, byte for byte.
set -eu
umask 022

fail() {
    printf 'make-package.sh: %s\n' "$1" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
bin=$here/bin cpu=any version=1.0.0
while getopts b:c:v:h option; do
    case $option in
        b) bin=$OPTARG ;;
        c) cpu=$OPTARG ;;
        v) version=$OPTARG ;;
        h) sed -n '2,7s/^# //p' "$0" && exit 0 ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
case ${1-} in agent | proxy) role=$1 ;; *) fail "agent or proxy expected, see -h" ;; esac
case $version$cpu in *[!A-Za-z0-9._+~-]*) fail "version and CPU are letters, digits, '.', '_', '+', '~', '-'" ;; esac
[ -f "$bin/gsectl" ] || fail "$bin has no gsectl"
mkdir -p "${2:-.}"
out=$(cd "${2:-.}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

mkdir -p "$work/package/etc" "$work/package/share"
cp -R "$bin" "$work/package/bin"
cp "$here/share/keep.sh" "$work/package/share/keep.sh"
cp "$here/etc/gse_agent.conf.j2" "$work/package/etc/"
sed -e "s/@ROLE@/$role/g" -e "s/@VERSION@/$version/" -e "s/@CPU@/$cpu/" "$here/package.toml.in" >"$work/package/package.toml"
if [ "$role" = proxy ]; then
    for file in gse_data_proxy gse_file_proxy; do
        cp "$here/etc/$file.conf.j2" "$work/package/etc/"
        printf '\n[[config]]\ntemplate = "etc/%s.conf.j2"\nto = "etc/%s.conf"\nmode = "0600"\n' "$file" "$file" >>"$work/package/package.toml"
    done
fi
if [ -d "$here/cert" ]; then cp -R "$here/cert" "$work/package/cert"; fi
chmod -R u=rwX,go=rX "$work/package"
chmod 755 "$work/package/bin"/*

archive=$out/gse_$role-$version-linux-$cpu.tgz
# Everything that could differ between two runs is fixed: order, owner, time.
(cd "$work/package" && tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -cf - -- *) >"$work/package.tar"
gzip -9n "$work/package.tar"
mv "$work/package.tar.gz" "$archive.part"
mv "$archive.part" "$archive"
printf '%s\n' "$archive"
