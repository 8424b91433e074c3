#!/bin/bash
# Builds a cached root file system that hosts of the test world share as their lower layer, and prints the directory
# it is in (`root/` below it is the tree, `kinds/` the layers that provisioning adds). Without an argument that is the
# one of this machine's own release; `base.sh wine` is Debian 13 with wine, for hosts that pass for Windows.
#
# It takes the machine's own package sources, whatever form they are written in, and never names a mirror itself.
# It never installs anything on the machine and never changes a base once it is built: another package list is
# another directory.
set -euo pipefail

HERE=$(cd "$(dirname "$(readlink -f "$0")")" && pwd -P)
CACHE=${LANDFALL_WORLD_CACHE:-/var/cache/landfall-world}

# What the kinds need. minbase has bash, dash, coreutils, perl-base and util-linux already.
PACKAGES=(
    openssh-server dropbear-bin tinysshd passwd procps iproute2 # hosts
    ucspi-tcp                                                   # who listens for a server of one connection
    sudo opendoas                                               # ways to root; su is util-linux's
    busybox dash csh tcsh fish ksh zsh                          # login shells
    gzip tar zstd openssl wget curl                             # tools that kinds take away again
    systemd libpam-systemd dbus                                 # pid 1 and logins of systemd's kinds, idle in the others
    tcc libc6-dev                                               # the agent of AIX and Solaris hosts is compiled
)

# Debian 13 for its wine 10: the cmd.exe of wine 8 goes wrong on real batch files. The compiler is for the programs that
# stand where wine has none that works.
WINE_RELEASE=trixie
WINE_PACKAGES=(
    openssh-server passwd procps iproute2 locales
    wine wine64
    gcc-mingw-w64-x86-64-win32 libz-mingw-w64-dev
)

# Servers of other releases of Debian, each below /opt/NAME with what of its libraries a root of this release lacks:
# NAME RELEASE PACKAGE... One that is newer than this release brings its own libc, and so its own loader.
OTHERS=(
    "openssh-8-4 bullseye openssh-server openssh-sftp-server libssl1.1"
    "openssh-10 trixie openssh-server openssh-sftp-server libssl3t64 libzstd1 libwtmpdb0 libc6"
)

fail() {
    printf 'base.sh: %s\n' "$1" >&2
    exit 1
}

# The distribution's own Packages files as apt sees them: `URI RELEASE COMPONENT`, one a line. Foreign repositories
# (language runtimes, container engines) are left out: only releases named after this distribution's codename count.
own_sources() {
    local uri release component
    # shellcheck disable=SC2016  # $(REPO_URI) is apt's own notation
    apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' | sort -u |
        while IFS='|' read -r uri release component; do
            case $release in
            "$CODENAME" | "$CODENAME-updates" | "$CODENAME-security") ;;
            *) continue ;;
            esac
            case $component in
            main | universe) printf '%s %s %s\n' "$uri" "$release" "$component" ;;
            esac
        done
}

# The same as one-line sources, each bound to the distribution's keyring where the machine has it as a file.
sources_list() {
    local uri release component keyring options=
    for keyring in /usr/share/keyrings/"$DISTRIBUTION"-archive-keyring.{gpg,pgp}; do
        [ ! -f "$keyring" ] || options="[signed-by=$keyring] "
    done
    own_sources | while read -r uri release component; do
        printf 'deb %s%s %s %s\n' "$options" "$uri" "$release" "$component"
    done
}

# How this machine fetches packages: proxies, retries, date checks. Put into the new root only while it is built.
apt_settings() {
    apt-config dump | grep -E '^(Acquire::(http|https|ftp|Retries|Check-|AllowInsecure)|APT::Get::AllowUnauth)' || true
    printf 'Acquire::Languages "none";\nAPT::Install-Recommends "false";\nDir::Etc::netrcparts "/etc/apt/auth.conf.d";\n'
    [ ! -f /etc/apt/auth.conf ] || printf 'Dir::Etc::netrc "/etc/apt/auth.conf";\n'
}

# Another release of Debian, from the mirror of this machine's own; only Debian's has it.
release_source() { # RELEASE [OPTIONS]
    local uri keyring
    uri=$(own_sources | while read -r u r c; do [ "$r $c" != "$CODENAME main" ] || printf '%s\n' "$u"; done | head -n 1)
    keyring=$(sources_list | sed -n 's/^deb \[\(signed-by=[^]]*\)\].*/\1/p' | head -n 1)
    printf 'deb [%s] %s %s main\n' "target=Packages lang=none $keyring" "$uri" "$1"
}

with_mmdebstrap() { # ROOT
    local list=$1.list settings=$1.apt names
    if [ "$RELEASE" = "$CODENAME" ]; then sources_list; else release_source "$RELEASE"; fi >"$list"
    apt_settings >"$settings"
    names=$(IFS=, && printf '%s' "${PACKAGES[*]}")
    # A root that a crash spoils is built anew, so nothing has to be synced.
    mmdebstrap --mode=root --variant=minbase --aptopt="$settings" --include="$names" --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        "$RELEASE" "$1" "$list" || return
    rm -f "$list" "$settings" "$1/etc/apt/apt.conf.d/99mmdebstrap"
}

with_debootstrap() { # ROOT
    local uri names components=main
    uri=$(own_sources | while read -r u r c; do [ "$r $c" != "$CODENAME main" ] || printf '%s\n' "$u"; done | head -n 1)
    [ -n "$uri" ] || fail "apt knows no source of $CODENAME main"
    [ "$RELEASE" != "$CODENAME" ] ||
        components=$(own_sources | while read -r _ r c; do [ "$r" != "$CODENAME" ] || printf '%s\n' "$c"; done | sort -u | paste -sd,)
    names=$(IFS=, && printf '%s' "${PACKAGES[*]}")
    debootstrap --variant=minbase --components="$components" --include="$names" "$RELEASE" "$1" "$uri"
}

bootstrap() { # ROOT
    if [ "${LANDFALL_WORLD_BOOTSTRAP:-mmdebstrap}" = mmdebstrap ] && command -v mmdebstrap >/dev/null; then
        with_mmdebstrap "$1"
    elif command -v debootstrap >/dev/null; then
        with_debootstrap "$1"
    else
        printf 'neither mmdebstrap nor debootstrap is here; run: apt-get install --no-install-recommends mmdebstrap\n'
        return 1
    fi
}

# What OTHERS names.
others() { # DIRECTORY
    local apt=$1/apt other name release packages
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$1/opt"
    for other in "${OTHERS[@]}"; do
        read -r name release packages <<<"$other"
        release_source "$release"
    done >"$apt/sources.list"
    local settings=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
        -o "Dir::State::lists=$apt/lists" -o Dir::State::status=/dev/null -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
    apt-get "${settings[@]}" update || return
    for other in "${OTHERS[@]}"; do
        read -r name release packages <<<"$other"
        mkdir "$apt/$name"
        # shellcheck disable=SC2046,SC2086  # several packages
        (cd "$apt/$name" && apt-get "${settings[@]}" download $(printf "%s/$release " $packages)) || return
        find "$apt/$name" -name '*.deb' -exec dpkg-deb -x {} "$1/opt/$name" \; || return
        find "$1/opt/$name" -depth \( -path '*/share/man' -o -path '*/share/locale' -o -path '*/gconv' -o -path '*/etc' \) -exec rm -r {} +
    done
    rm -r "$apt"
}

# Takes out what would differ between two hosts' first boots or betray the machine it was built on.
tidy() { # ROOT
    rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/ssh/ssh_host_* "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/dbus/machine-id
    rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin
    : >"$1/etc/machine-id"
    : >"$1/etc/resolv.conf"
    mkdir -p "$1/run/sshd"
}

# Which root it is to be. Sets RELEASE, PACKAGES, OTHERS and PREPARE, a script that is run in the root at the end.
choose() { # ROOT
    # shellcheck source=/dev/null
    . /etc/os-release
    DISTRIBUTION=$ID CODENAME=${VERSION_CODENAME:-}
    [ -n "$CODENAME" ] || fail "/etc/os-release names no VERSION_CODENAME: a Debian or Ubuntu machine is needed"
    command -v apt-get >/dev/null || fail "apt-get is not here: a Debian or Ubuntu machine is needed"
    RELEASE=$CODENAME PREPARE=''
    case $1 in
    '') ;;
    wine)
        [ "$DISTRIBUTION" = debian ] || fail "the root with wine is fetched from the mirror of a Debian machine, and this is $DISTRIBUTION"
        RELEASE=$WINE_RELEASE PACKAGES=("${WINE_PACKAGES[@]}") OTHERS=() PREPARE=$HERE/windows/prefix.sh
        ;;
    *) fail "no base root \`$1\`: there is one without a name, and wine" ;;
    esac
}

# Started in a fresh mount namespace, by this script itself.
prepare() { # ROOT SCRIPT
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    mount -t tmpfs -o mode=1777 tmp "$1/tmp"
    mount --bind -o ro "${2%/*}" "$1/mnt"
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
        chroot "$1" /bin/sh "/mnt/${2##*/}" </dev/null
}

build() { # DIRECTORY
    local build fetching=''
    [ -n "$(own_sources)" ] || fail "apt has no source for $CODENAME; try: apt-get update"
    # A build that was interrupted left its tree; only the holder of the lock may be building.
    rm -rf "$CACHE"/build.*
    build=$(mktemp -d "$CACHE/build.XXXXXX")
    chmod 755 "$build"
    printf 'building the base root %s (once; about a minute)\n' "$1" >&2
    if [ ${#OTHERS[@]} -gt 0 ]; then
        others "$build" >"$CACHE/others.log" 2>&1 &
        fetching=$!
    fi
    {
        bootstrap "$build/root" && { [ -z "$PREPARE" ] || unshare --mount --propagation private "$0" --prepare "$build/root" "$PREPARE"; }
    } >"$CACHE/build.log" 2>&1 || {
        tail -n 20 "$CACHE/build.log" >&2
        fail "the base root could not be built; the whole log is $CACHE/build.log"
    }
    # What cannot be had is missed by its kind, not by all of them.
    [ -z "$fetching" ] || wait "$fetching" || printf 'no servers of other releases: %s\n' "$(tail -n 1 "$CACHE/others.log")" >&2
    [ ! -d "$build/opt" ] || cp -a "$build/opt" "$build/root/"
    rm -rf "$build/opt" "$build/apt"
    tidy "$build/root"
    mkdir "$build/kinds"
    mv -T "$build" "$1"
}

main() {
    local want dir
    choose "${1:-}"
    want=$({ sed '/^#/d' "$0" && cat ${PREPARE:+"$PREPARE"} /dev/null && printf '%s %s %s' "$CODENAME" "$(uname -m)" "${1:-}"; } | sha256sum)
    dir=$CACHE/${want:0:16}
    if [ ! -d "$dir/root" ]; then
        [ "$(id -u)" = 0 ] || fail "root is needed to build $dir (a root file system with its owners and devices)"
        mkdir -p "$CACHE"
        exec 9>"$CACHE/base.lock"
        flock 9
        [ -d "$dir/root" ] || build "$dir"
    fi
    printf '%s\n' "$dir"
}

if [ "${1:-}" = --prepare ]; then prepare "$2" "$3"; else main "$@"; fi
