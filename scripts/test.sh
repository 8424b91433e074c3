#!/bin/bash
# Runs every test, those against real hosts and containers included, and first installs what they need and this machine lacks.
# Usage: scripts/test.sh [--no-containers] [ARGUMENT OF cargo nextest run...]
#   for example: scripts/test.sh -E 'test(quot)'
#   --no-containers   leave out the suite that needs a container engine (docker with compose; never installed by this script)
# Nothing is skipped: what cannot be had is an error that says what to do. Needs root, and Debian or Ubuntu.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/lib/machine.sh
. scripts/lib/machine.sh

# The shells that quoting and the scripts for targets are tested with. csh by its own name: tcsh is often called csh too.
SHELLS=(dash busybox ksh bsd-csh=csh tcsh fish /usr/share/i18n/charmaps/GBK.gz=locales)
# What those scripts use where a target has it; their throw-away roots are made of this machine's own tools.
TOOLS=(gzip tar zstd openssl shasum=perl curl wget shellcheck)
# The other database of the job record; its server starts and ends with the tests (tests/support/postgres.sh). Debian keeps
# the programs of each version apart, so this is no command that could be looked for.
POSTGRES='/usr/lib/postgresql/*/bin/initdb'
# What tests watch us with.
WATCHERS=(strace)

CONTAINERS=yes
ARGUMENTS=()
for argument; do
    case $argument in
    -h | --help) sed -n '2,6s/^# //p' "$0" && exit 0 ;;
    --no-containers) CONTAINERS=no ;;
    *) ARGUMENTS+=("$argument") ;;
    esac
done

# A test that was killed leaves its world behind, and with it the mounts and processes of its hosts. Worlds of living
# processes, and those that belong to nobody (`world up` by hand, quickstart.sh --keep), are left alone.
sweep_worlds() {
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

# The same for compose projects; tests/compose/project.rs names them after its process.
sweep_containers() {
    local ours='label=com.docker.compose.project' name='{{ .Label "com.docker.compose.project" }}' project pid
    { docker ps --all --filter "$ours" --format "$name" && docker network ls --filter "$ours" --format "$name"; } | sort -u |
        while IFS= read -r project; do
            pid=${project#landfall-test-}
            if [ "$pid" != "$project" ] && [ ! -d "/proc/$pid" ]; then
                "${COMPOSE[@]}" --project-name "$project" down --volumes --remove-orphans --rmi local --timeout 2 </dev/null
            fi
        done
}

sweep() {
    sweep_worlds
    [ "$CONTAINERS" = no ] || sweep_containers
}

need_root
if [ "$CONTAINERS" = yes ]; then
    OR_WITHOUT="
Or leave the tests with containers out: $0 --no-containers"
    need_compose
else
    say "--no-containers: the suite tests/compose is left out, everything else is run"
    ARGUMENTS=(--profile no-containers "${ARGUMENTS[@]}")
fi
need_rust
need "${FOR_BUILDING[@]}" "${FOR_THE_WORLD[@]}" "${SHELLS[@]}" "${TOOLS[@]}" "${WATCHERS[@]}"
compgen -G "$POSTGRES" >/dev/null || need initdb=postgresql
need_package_sources
need_cargo_command cargo-nextest "$NEXTEST"
trap sweep EXIT
# Ctrl-C goes to nextest too, which ends its tests; bash waits for it and comes here then.
trap 'exit 130' INT TERM HUP
# What hosts stand on is made while the tests are built; the first of them would run out of its time waiting for it.
roots() {
    # Without the second the stories of Windows hosts fail, each by itself, and say why.
    tests/world/world base && { tests/world/world base wine || :; } && { [ "$CONTAINERS" = no ] || scripts/base-image.sh; }
}
roots >/dev/null &
ROOTS=$!
cargo test --workspace --locked --quiet --no-run
wait "$ROOTS" || fail "the root file systems of the test world cannot be had, see above"
# Stories mostly wait: for a step of an agent, for a time that has to pass.
NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$((2 * $(nproc)))} cargo nextest run --workspace --locked "${ARGUMENTS[@]}"
