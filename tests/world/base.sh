#!/bin/bash
# Builds the one cached root file system that every host of the test world shares as its lower layer, and prints
# the directory it is in (`root/` below it is the tree, `kinds/` the layers that provisioning adds).
#
# It takes the machine's own package sources, whatever form they are written in, and never names a mirror itself.
# It never installs anything on the machine and never changes a base once it is built: another package list is
# another directory.
set -euo pipefail

CACHE=${LANDFALL_WORLD_CACHE:-/var/cache/landfall-world}

# What the kinds need. minbase has bash, dash, coreutils, perl-base and util-linux already.
PACKAGES=(
    openssh-server dropbear-bin tinysshd passwd procps iproute2 # hosts
    ucspi-tcp                                                   # who listens for a server of one connection
    sudo opendoas                                               # ways to root; su is util-linux's
    busybox dash csh tcsh fish ksh zsh                          # login shells
    gzip tar zstd openssl wget                                  # tools that kinds take away again
    systemd libpam-systemd dbus                                 # pid 1 and logins of systemd's kinds, idle in the others
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

with_mmdebstrap() { # ROOT
    local list=$1.list settings=$1.apt names
    sources_list >"$list"
    apt_settings >"$settings"
    names=$(IFS=, && printf '%s' "${PACKAGES[*]}")
    mmdebstrap --mode=root --variant=minbase --aptopt="$settings" --include="$names" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        "$CODENAME" "$1" "$list" || return
    rm -f "$list" "$settings" "$1/etc/apt/apt.conf.d/99mmdebstrap"
}

with_debootstrap() { # ROOT
    local uri names components
    uri=$(own_sources | while read -r u r c; do [ "$r $c" != "$CODENAME main" ] || printf '%s\n' "$u"; done | head -n 1)
    [ -n "$uri" ] || fail "apt knows no source of $CODENAME main"
    components=$(own_sources | while read -r _ r c; do [ "$r" != "$CODENAME" ] || printf '%s\n' "$c"; done | sort -u | paste -sd,)
    names=$(IFS=, && printf '%s' "${PACKAGES[*]}")
    debootstrap --variant=minbase --components="$components" --include="$names" "$CODENAME" "$1" "$uri"
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

# What OTHERS names, from the mirror of this machine's own release; only Debian's has those releases too.
others() { # DIRECTORY
    local apt=$1/apt uri keyring other name release packages
    uri=$(own_sources | while read -r u r c; do [ "$r $c" != "$CODENAME main" ] || printf '%s\n' "$u"; done | head -n 1)
    keyring=$(sources_list | sed -n 's/^deb \[\(signed-by=[^]]*\)\].*/\1/p' | head -n 1)
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$1/opt"
    for other in "${OTHERS[@]}"; do
        read -r name release packages <<<"$other"
        printf 'deb [target=Packages lang=none %s] %s %s main\n' "$keyring" "$uri" "$release"
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

main() {
    local want dir build fetching
    # shellcheck source=/dev/null
    . /etc/os-release
    DISTRIBUTION=$ID CODENAME=${VERSION_CODENAME:-}
    [ -n "$CODENAME" ] || fail "/etc/os-release names no VERSION_CODENAME: a Debian or Ubuntu machine is needed"
    command -v apt-get >/dev/null || fail "apt-get is not here: a Debian or Ubuntu machine is needed"
    want=$(sed '/^#/d' "$0" | { cat && printf '%s %s' "$CODENAME" "$(uname -m)"; } | sha256sum)
    dir=$CACHE/${want:0:16}
    if [ ! -d "$dir/root" ]; then
        [ "$(id -u)" = 0 ] || fail "root is needed to build $dir (a root file system with its owners and devices)"
        mkdir -p "$CACHE"
        exec 9>"$CACHE/base.lock"
        flock 9
    fi
    if [ ! -d "$dir/root" ]; then
        [ -n "$(own_sources)" ] || fail "apt has no source for $CODENAME; try: apt-get update"
        # A build that was interrupted left its tree; only the holder of the lock may be building.
        rm -rf "$CACHE"/build.*
        build=$(mktemp -d "$CACHE/build.XXXXXX")
        chmod 755 "$build"
        printf 'building the base root %s (once; about a minute)\n' "$dir" >&2
        others "$build" >"$CACHE/others.log" 2>&1 &
        fetching=$!
        bootstrap "$build/root" >"$CACHE/build.log" 2>&1 || {
            tail -n 20 "$CACHE/build.log" >&2
            fail "the base root could not be built; the whole log is $CACHE/build.log"
        }
        # What cannot be had is missed by its kind, not by all of them.
        wait "$fetching" || printf 'no servers of other releases: %s\n' "$(tail -n 1 "$CACHE/others.log")" >&2
        [ ! -d "$build/opt" ] || cp -a "$build/opt" "$build/root/"
        rm -rf "$build/opt" "$build/apt"
        tidy "$build/root"
        mkdir "$build/kinds"
        mv -T "$build" "$dir"
    fi
    printf '%s\n' "$dir"
}

main "$@"
