#!/bin/bash
# Feeds noise to every parser of what comes from elsewhere, and says which of them broke. Needs a C++ compiler; libFuzzer's
# runtime is built once, and nothing else but our own code is built again.
# Usage: scripts/fuzz.sh [SECONDS [TARGET...]]     60 s each unless told otherwise, as many at once as there are cores
#   for example: scripts/fuzz.sh 600 manifest
# What breaks a target is kept under target/fuzz/; `target/debug/fuzz_TARGET FILE` shows it again.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/lib/machine.sh
. scripts/lib/machine.sh

case ${1:-} in -h | --help) sed -n '2,6s/^# //p' "$0" && exit 0 ;; esac
seconds=${1:-60}
case $seconds in *[!0-9]* | '') fail "not a number of seconds: $seconds" ;; esac
[ $# -eq 0 ] || shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(basename -s .rs fuzz/targets/*.rs)
for target in "${targets[@]}"; do
    [ -f "fuzz/targets/$target.rs" ] || fail "no target $target; there are: $(basename -s .rs fuzz/targets/*.rs | tr '\n' ' ')"
done

need "${FOR_BUILDING[@]}" "${FOR_FUZZING[@]}"
need_rust
RUSTC_WORKSPACE_WRAPPER="$PWD/fuzz/instrument.sh" cargo build --locked --quiet --package landfall-fuzz
programs=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug

# One target until its time is over or it breaks: 0 and a line, or 1 and the end of what it said.
fuzz() { # TARGET
    local dir=target/fuzz/$1 log
    mkdir -p "$dir/corpus"
    log=$dir/log
    if "$programs/fuzz_$1" "$dir/corpus" "fuzz/seeds/$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
        -artifact_prefix="$dir/" >"$log" 2>&1; then
        say "$1: $(grep -c . <(ls "$dir/corpus")) inputs kept, $(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log") runs"
    else
        tail -n 40 "$log" >&2
        printf '%s: broke; what it broke on is in %s\n' "$1" "$dir" >&2
        return 1
    fi
}

broken=0 running=0
for target in "${targets[@]}"; do
    if [ "$running" -ge "$(nproc)" ]; then
        wait -n || broken=1
        running=$((running - 1))
    fi
    fuzz "$target" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n || broken=1
    running=$((running - 1))
done
[ "$broken" = 0 ] || fail "a parser broke"
say "${#targets[@]} parsers held for $seconds s each"
