#!/bin/sh
# Runs the crate's tests under valgrind, which fails on an invalid access or a leak.
#
# rustix goes through libc here: it otherwise looks for the vDSO, which valgrind hides.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-../../target}/valgrind"
export RUSTFLAGS="--cfg rustix_use_libc" PROPTEST_CASES="${PROPTEST_CASES:-40}"
[ $# -gt 0 ] || set -- --lib --test tasks --test combine --test sync --test threads --test model --test second_host
cargo test --locked -p riata --no-run --message-format=json "$@" |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' |
    while read -r program; do
        echo "-- $program"
        valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite,indirect \
            --errors-for-leak-kinds=definite,indirect "$program" --test-threads=1 </dev/null
    done
