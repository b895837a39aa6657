#!/usr/bin/env bash
# Runs every hostile file through an optimised ckdiff, and says which took longest and which took most memory.
#
#   tests/hostile/figures.sh [BINARY]      BINARY: an optimised ckdiff; without it, cargo builds one
#
# Needs GNU time (/usr/bin/time). One test runs at once, so that seconds are those of the program. Exit status 1 where a file takes 2 s
# of processor time, or 200 MB.
set -euo pipefail
cd "$(dirname "$0")/../.." || exit 1

binary=${1:-}
if [ -z "$binary" ]; then
    cargo build --release --quiet
    binary=target/release/ckdiff
fi
CKDIFF_BINARY=$(realpath "$binary")
CKDIFF_FIGURES=$(mktemp)
export CKDIFF_BINARY CKDIFF_FIGURES
trap 'rm -f "$CKDIFF_FIGURES"' EXIT
status=0
cargo test --quiet --test hostile -- --test-threads=1 || status=$?

# Lines of its own, where a program ends with another status than 0, are left out.
runs=$(awk 'NF == 5 { printf "%.2f %.1f %s\n", $1 + $2, $4 / 1024, $5 }' "$CKDIFF_FIGURES")
echo "$(wc -l <<< "$runs") runs of $(cut -d' ' -f3 <<< "$runs" | sort -u | wc -l) tests"
echo "slowest, seconds of the processor:"
sort -k1,1gr <<< "$runs" | awk '!seen[$3]++ && n++ < 5 { printf "  %6s s   %6s MB  %s\n", $1, $2, $3 }'
echo "fattest, resident memory:"
sort -k2,2gr <<< "$runs" | awk '!seen[$3]++ && n++ < 5 { printf "  %6s s   %6s MB  %s\n", $1, $2, $3 }'
awk '$1 >= 2 || $2 >= 200 { bad = 1 } END { exit bad }' <<< "$runs"
exit "$status"
