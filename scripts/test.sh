#!/bin/bash
# Runs every test, those against real hosts included, and first installs what they need and this machine lacks.
# Usage: scripts/test.sh [ARGUMENT OF cargo nextest run...]     for example: scripts/test.sh -E 'test(quot)'
# Nothing is skipped: what cannot be had is an error that says what to do. Needs root, and Debian or Ubuntu.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/lib/machine.sh
. scripts/lib/machine.sh

# The shells that quoting and the scripts for targets are tested with. csh by its own name: tcsh is often called csh too.
SHELLS=(dash busybox ksh bsd-csh=csh tcsh fish /usr/share/i18n/charmaps/GBK.gz=locales)
# What those scripts use where a target has it; their throw-away roots are made of this machine's own tools.
TOOLS=(gzip tar zstd openssl shasum=perl curl wget shellcheck)
# What tests watch us with.
WATCHERS=(strace)

case ${1:-} in
-h | --help) sed -n '2,4s/^# //p' "$0" && exit 0 ;;
esac

# A test that was killed leaves its world behind, and with it the mounts and processes of its hosts. Worlds of living
# processes, and those that belong to nobody (`world up` by hand, quickstart.sh --keep), are left alone.
sweep() {
    local line owner dir
    while IFS= read -r line; do
        owner=${line##*, owner } dir=${line#world *: }
        dir=${dir%, * hosts, owner *} owner=${owner%% *}
        if [ "$owner" != none ] && [ ! -d "/proc/$owner" ]; then
            tests/world/world down --dir "$dir" </dev/null
            # The name that tests/support/world.rs gives; any other directory may hold something of somebody's.
            [[ ${dir##*/} != landfall-world-* ]] || rm -rf "$dir"
        fi
    done < <(tests/world/world list --all)
}

need_root
need_rust
need "${FOR_BUILDING[@]}" "${FOR_THE_WORLD[@]}" "${SHELLS[@]}" "${TOOLS[@]}" "${WATCHERS[@]}"
need_package_sources
need_cargo_command cargo-nextest "$NEXTEST"
trap sweep EXIT
# Ctrl-C goes to nextest too, which ends its tests; bash waits for it and comes here then.
trap 'exit 130' INT TERM HUP
# Before the tests: the first of them would run out of its time while the base root is built.
tests/world/world base >/dev/null
cargo nextest run --workspace --locked "$@"
