# Tells what this machine is and has, in one exec: facts for everybody, and more of them when called by root.
# It never writes, never asks the network, and never runs anything it finds.
#
# It travels as ONE line inside sh -c with single quotes, to a login shell nobody knows yet (csh, fish, a restricted one).
# So: no single quote, no backslash, no exclamation mark; comments only on lines of their own; and every line must still
# be valid when the next one follows after a blank. stdin: the setup path and the temp path, a line each, or nothing;
# where a server gives commands no stdin they come as the two arguments.
# shellcheck shell=sh disable=SC2046,SC2005 # words are split on purpose, and joined with single blanks
# shellcheck disable=SC2034,SC2209 # columns that are read past; plain words as values
echo;
echo "@@lf:ready@@";
set -u;
PATH=/usr/xpg4/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin:/usr/sfw/bin:/opt/freeware/bin; LC_ALL=C; LANG=C;
export PATH LC_ALL LANG;
# An exported TMOUT bounds every read of bash. What an unset IFS means is not the same everywhere; blanks are all that is split at.
unset TMOUT;
IFS=" ";
# Not echo: it may interpret what lies in a value.
p() { printf "@@lf:%s@@" "$1"; echo; };
# Without a glob: a device name may hold brackets.
set -f;
nearest() {
near=$1;
until [ -e "$near" ]; do
case $near in */*) near=${near%/*} ;; *) near=/ ;; esac;
[ -n "$near" ] || near=/;
done;
};
# test -w says yes to root under some shells even on a read-only mount, so the mount table has its say.
# Unknown room counts as plenty, like in the other scripts: busybox df knows nothing without /etc/mtab.
last=; counted=;
look() {
nearest "$1";
if [ "$near" = "$last" ]; then :; else
last=$near;
set -- $(df -kP "$near" 2>/dev/null | tail -n 1);
mount=${6:-/};
case ${4:-x} in *[a-zA-Z-]*) free=999999999; mount=/ ;; ??????????*) free=999999999 ;; *) free=$4 ;; esac;
fi;
access=rw;
[ -w "$near" ] || access=ro;
# A file system that counts no files says 0 of 0. Elsewhere df has other columns.
if [ "$mount" = "$counted" ]; then :; elif [ "$os" = Linux ]; then
counted=$mount; files=some;
set -- $(df -iP "$near" 2>/dev/null | tail -n 1);
case ${2:-0} in 0 | *[a-zA-Z-]*) ;; *) files=${4:-1} ;; esac;
fi;
if [ "$access" = rw ] && [ "${files:-some}" = 0 ]; then access=no_inodes; fi;
options=;
if [ -r /proc/mounts ]; then
while read -r device point kind words rest; do if [ "$point" = "$mount" ]; then options=$words; fi; done </proc/mounts;
fi;
case ,$options, in *,ro,*) access=ro ;; *,noexec,*) [ "$access" = rw ] && access=noexec ;; esac;
};
setup=${1:-}; temp=${2:-}; stdin=;
if [ $# = 0 ]; then
if IFS= read -r setup; then IFS= read -r temp || temp=${temp:-}; else stdin=none; fi;
fi;
echo "@@lf:begin@@";
[ -z "$stdin" ] || p "stdin=$stdin";
set -- $(uname -srm);
os=${1:-}; release=${2:-}; cpu=${3:-};
distro=; version=; init=; zone=;
case $os in
AIX)
release=$(oslevel 2>/dev/null) || release=$(uname -v).$(uname -r);
distro=AIX; version=$release;
cpu=$(uname -p);
bits=$(getconf KERNEL_BITMODE 2>/dev/null) || bits=$(bootinfo -K 2>/dev/null);
case $cpu in *[pP]ower*) if [ "$bits" = 64 ]; then cpu=ppc64; else cpu=powerpc; fi ;; esac;
if lssrc -a >/dev/null 2>&1; then init=src; else init=inittab; fi
;;
SunOS)
distro=Solaris; version=${release#5.};
cpu=$(uname -p);
kernel=$(isainfo -k 2>/dev/null) || kernel=$cpu;
case $kernel in amd64) cpu=x86_64 ;; i386) cpu=i386 ;; sparc*) cpu=sparc ;; esac;
if svcs -H >/dev/null 2>&1; then init=smf; else init=rc3; fi;
zone=$(zonename 2>/dev/null) || zone=global
;;
esac;
p "os=$os";
p "release=$release";
p "cpu=$cpu";
# An opening quote is any first character that no value begins with; to name it would take a backslash.
unquote() { word=$1; case $word in [a-zA-Z0-9]* | "") ;; *) word=${word#?}; word=${word%?} ;; esac; };
for file in /etc/os-release /usr/lib/os-release; do
if [ -z "$distro" ] && [ -r "$file" ]; then
while IFS= read -r line; do
case $line in
ID=*) unquote "${line#*=}"; distro=$word ;;
VERSION_ID=*) unquote "${line#*=}"; version=$word ;;
esac;
done <"$file";
fi;
done;
for file in /etc/redhat-release /etc/SuSE-release; do
if [ -z "$distro" ] && [ -r "$file" ]; then read -r distro <"$file"; fi;
done;
p "distro=$distro${version:+ $version}";
[ -z "$zone" ] || p "zone=$zone";
p "shell=${SHELL:-}";
uid=$(id -u);
p "uid=$uid";
p "user=$(id -un)";
p "home=${HOME:-}";
if [ -r /proc/sys/kernel/random/boot_id ]; then
read -r boot </proc/sys/kernel/random/boot_id;
p "boot=$boot";
else
p "boot=$(echo $(who -b 2>/dev/null))";
fi;
if [ -n "$init" ]; then p "init=$init"; elif [ -d /run/systemd/system ]; then p init=systemd; elif [ -d /etc/init.d ]; then p init=sysv; else p init=rc; fi;
tools=;
for tool in gzip tar zstd sha256sum shasum busybox setsid sudo su doas curl wget bash systemctl systemd-run dd; do
if command -v "$tool" >/dev/null 2>&1; then tools="$tools $tool"; fi;
done;
# Of these three there are some that know no SHA-256. Asked only where the first two are not: it takes openssl its time.
case $tools in *" sha256sum"* | *" shasum"*) ;; *)
if openssl dgst -sha256 /dev/null >/dev/null 2>&1; then tools="$tools openssl"; fi;
if csum -h SHA256 /dev/null >/dev/null 2>&1; then tools="$tools csum"; fi;
if digest -a sha256 /dev/null >/dev/null 2>&1; then tools="$tools digest"; fi
;;
esac;
p "tools=${tools# }";
case $setup in /*) look "$setup"; p "setup=$near $free $access" ;; esac;
case $temp in /*) look "$temp"; p "temp=$near $free $access" ;; esac;
owner() { set -- $(ls -ldn "$1" 2>/dev/null); owner=${3:-}; };
if [ "$uid" = 0 ]; then
state=;
for place in /var/lib/landfall /opt/landfall /usr/local/landfall /root/.landfall; do
look "$place";
verdict=ok;
case $access in ro | no_inodes) verdict=$access ;; esac;
if [ -h "$place" ]; then verdict=link;
elif [ -e "$place" ]; then
owner "$place";
if [ -d "$place" ] && [ "$owner" = 0 ]; then
if [ -z "$state" ]; then if [ -f "$place/history.log" ] || [ -d "$place/runs" ]; then state=$place; fi; fi;
else verdict=link;
fi;
fi;
p "place=$place $free $verdict";
done;
set +f;
if [ -n "$state" ]; then
p "state=$state";
for file in "$state"/blobs/*; do
if [ -f "$file" ]; then set -- $(ls -ldn "$file"); p "blob=${file##*/} $5"; fi;
done;
highest=0;
for file in "$state"/lock.*; do
number=${file##*/lock.};
case $number in *[a-zA-Z.*]* | "") ;; *) if [ "$number" -gt "$highest" ]; then highest=$number; fi ;; esac;
done;
if [ "$highest" -gt 0 ]; then line=; read -r line <"$state/lock.$highest"; p "lock=$line"; fi;
fi;
# A package that was installed elsewhere than the request says is found by what its install noted: its home comes first.
told=;
tell() {
case $told in *"|$1|"*) return ;; esac;
[ -f "$1" ] || return;
told="$told|$1|";
p "installed=$1";
while IFS= read -r line || [ -n "$line" ]; do p "toml=$line"; done <"$1";
};
if [ -n "$state" ]; then
for file in "$state"/packages/*; do
if [ -f "$file" ]; then place=; IFS= read -r place <"$file"; tell "$place/landfall.toml"; fi;
done;
fi;
case $setup in /*) for file in "${setup%/}"/*/landfall.toml; do tell "$file"; done ;; esac;
fi;
echo "@@lf:end@@"
