#!/bin/sh
# Makes an agent package for Landfall from Debian's build of Prometheus node_exporter, fetched from the package
# sources of this machine, and prints the path of the archive as its last line.
# Usage: make-package.sh [OUT_DIR]     (default: the current directory)
# It never installs anything on the machine and needs no root. The same Debian package gives the same archive, byte
# for byte, so that its digest can be relied on.
set -eu
umask 022

fail() {
    printf 'make-package.sh: %s\n' "$1" >&2
    exit 1
}

case ${1:-} in
-h | --help) sed -n '2,6s/^# //p' "$0" && exit 0 ;;
esac
for tool in apt-get dpkg-deb tar gzip; do
    command -v "$tool" >/dev/null || fail "$tool is not here: a Debian or Ubuntu machine is needed"
done
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-.}"
out=$(cd "${1:-.}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work"

apt-get -o APT::Sandbox::User=root -qq download prometheus-node-exporter >&2 ||
    fail "apt cannot fetch prometheus-node-exporter; try: apt-get update"
dpkg-deb -x prometheus-node-exporter_*.deb deb

# 1:1.5.0-1+b6 is release 1.5.0; the rest counts Debian's own builds of it.
version=$(dpkg-deb -f prometheus-node-exporter_*.deb Version)
version=${version#*:}
version=${version%-*}
case $(dpkg-deb -f prometheus-node-exporter_*.deb Architecture) in
amd64) cpu=x86_64 ;;
arm64) cpu=aarch64 ;;
*) fail "no name for the CPU of this machine; packages are known for amd64 and arm64" ;;
esac

mkdir -p package/bin package/etc
cp deb/usr/bin/prometheus-node-exporter package/bin/node_exporter
cp deb/usr/share/doc/prometheus-node-exporter/copyright package/LICENSE
cp "$here/agent.conf.j2" package/etc/agent.conf.j2
sed -e "s/@VERSION@/$version/" -e "s/@CPU@/$cpu/" "$here/package.toml.in" >package/package.toml
chmod 755 package/bin/node_exporter
chmod 644 package/LICENSE package/etc/agent.conf.j2 package/package.toml

archive=$out/node-exporter-$version-linux-$cpu.tgz
# Everything that could differ between two runs is fixed: order, owner, and the time, which is the binary's own.
(cd package && tar --sort=name --mtime="@$(stat -c %Y ../deb/usr/bin/prometheus-node-exporter)" --owner=0 --group=0 --numeric-owner \
    --format=ustar -cf - LICENSE bin etc package.toml) >package.tar
gzip -9n package.tar
mv package.tar.gz "$archive.part"
mv "$archive.part" "$archive"
printf '%s\n' "$archive"
