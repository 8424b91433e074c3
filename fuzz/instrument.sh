#!/bin/sh
# A rustc that counts edges and compares in what it compiles, for libFuzzer. As RUSTC_WORKSPACE_WRAPPER it sees the packages of
# this workspace only: those it depends on are the same as for the tests, and need not be built again.
for word; do
    # A build script is a program of its own, without the runtime that the counters need.
    [ "$word" != build_script_build ] || exec "$@"
done
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
