#!/bin/sh
# Runs the crate's tests under valgrind, which fails on an invalid access or a leak: `make valgrind`.
# With arguments, those tests: valgrind.sh --test green
#
# rustix goes through libc here: it otherwise looks for the vDSO, which valgrind hides.
set -eu
cd "$(dirname "$0")/.."
if ! command -v valgrind >/dev/null; then
    echo "valgrind is missing (on Debian: apt install valgrind)" >&2
    exit 1
fi
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-../../target}/valgrind"
export RUSTFLAGS="--cfg rustix_use_libc" PROPTEST_CASES="${PROPTEST_CASES:-40}"
if [ $# -eq 0 ]; then
    # Left out: the examples, which are processes of their own; green_stacks, which counts mappings, and a test of
    # net_descriptors and of threads that limit what valgrind itself needs.
    for name in tasks turns two_loops exceptions combine sync threads model second_host slow_callback signal \
        net_tcp net_unix net_datagram net_hyper green green_kill green_net; do
        set -- "$@" --test "$name"
    done
    set -- --lib "$@"
fi
programs=$(cargo test --locked -p riata --no-run --message-format=json "$@" |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | grep -v '/examples/')
for program in $programs; do
    echo "-- ${program##*/}"
    valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite,indirect \
        --errors-for-leak-kinds=definite,indirect "$program" --test-threads=1 \
        --skip a_call_for_which_there_is_no_thread_is_an_error </dev/null
done
