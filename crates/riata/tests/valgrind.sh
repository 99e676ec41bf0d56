#!/bin/bash
# Runs the crate's tests under valgrind, which fails on an invalid access or a leak: `make valgrind`.
# With arguments, those tests: valgrind.sh --test green
#
# rustix goes through libc here: it otherwise looks for the vDSO, which valgrind hides. What valgrind itself says goes to
# a file, to be shown if a program fails; else its remarks on system calls that it does not know (which are then
# answered with ENOSYS, so that the ways round them are tested) would bury everything.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v valgrind >/dev/null; then
    echo "valgrind is missing (on Debian: apt install valgrind)" >&2
    exit 1
fi
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-../../target}/valgrind"
export RUSTFLAGS="--cfg rustix_use_libc" PROPTEST_CASES="${PROPTEST_CASES:-40}"
# Seconds for one program; the longest takes two minutes where nothing else runs.
LIMIT="${LIMIT:-1200}"
if [ $# -eq 0 ]; then
    # Left out: the examples, which are processes of their own; green_stacks, which counts mappings; net_descriptors, which
    # limits what valgrind itself needs.
    for name in tasks turns two_loops exceptions combine sync threads model second_host slow_callback signal \
        process net_tcp net_unix net_datagram net_hyper green green_kill green_net; do
        set -- "$@" --test "$name"
    done
    set -- --lib "$@"
fi
programs=$(cargo test --locked -p riata --no-run --message-format=json "$@" |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | grep -v '/examples/')
# A limit on threads is valgrind's too. Before 3.21 it has no pidfds, which these tests open themselves (the crate then
# waits by a thread), and a child that cannot begin is not told (vfork is fork there).
skipped=(--skip a_call_for_which_there_is_no_thread_is_an_error --skip a_dropped_child_runs_on_and_is_reaped_by_the_loop
    --skip kill_on_drop_ends_the_child_of_a_cancelled_task --skip how_a_child_ended_is_told)
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
for program in $programs; do
    echo "-- ${program##*/}"
    rm -f "$logs"/*
    if ! timeout --kill-after=10 "$LIMIT" valgrind -q --log-file="$logs/%p" --error-exitcode=9 --leak-check=full \
        --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect "$program" --test-threads=1 \
        "${skipped[@]}" </dev/null; then
        cat "$logs"/* >&2
        echo "${program##*/} failed under valgrind, or took more than $LIMIT seconds" >&2
        exit 1
    fi
    # Children that a test begins have logs of their own.
    ! grep -hE '^==[0-9]+== .*(Invalid|uninitialised|definitely|indirectly)' "$logs"/*
done
echo "no invalid access, no leak: $(wc -w <<<"$programs") programs"
