#!/usr/bin/env bash
# Fuzzes the readers, the error-text parser, the rules and the pipeline.
#
#   fuzz/run.sh [SECONDS] [TARGET...]      SECONDS for each target, 60 when not given; all targets when none is named
#
# Needs a nightly toolchain (cargo +nightly); installs cargo-fuzz outside the checkout. JOBS targets run at once (2 when not
# set). Corpora grow from run to run in ${XDG_CACHE_HOME:-$HOME/.cache}/ckdiff-fuzz-corpus; what breaks a target is written to
# fuzz/artifacts/TARGET. Each target's last lines say how often it ran and what it covered. Exit status 1 where one was broken.
set -euo pipefail
cd "$(dirname "$0")/.." || exit 1

version=0.13.1
cache=${XDG_CACHE_HOME:-$HOME/.cache}
corpus=$cache/ckdiff-fuzz-corpus
seconds=${1:-60}
shift $(($# > 0 ? 1 : 0))
all=(torch pickle safetensors sharded expected log rules pipeline)
if [ $# -eq 0 ]; then set -- "${all[@]}"; fi

if ! cargo +nightly --version > /dev/null 2>&1; then
    echo "fuzz/run.sh: no nightly toolchain (rustup toolchain install nightly)" >&2
    exit 2
fi
root=$cache/ckdiff-cargo-fuzz-$version
if [ ! -x "$root/bin/cargo-fuzz" ]; then
    cargo install cargo-fuzz --version "$version" --locked --quiet --root "$root"
fi
PATH=$root/bin:$PATH cargo +nightly fuzz build
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
binaries=fuzz/target/$host/release

# The seeds and the regressions, from the same code that replays them without a fuzzer.
CKDIFF_FUZZ_CORPUS=$corpus cargo test --quiet --test fuzz_seeds -- --ignored --exact write_the_seeds > /dev/null

# Inputs that readers take by path are written to memory where there is such a place.
base=$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")
TMPDIR=$(mktemp -d "$base/ckdiff-fuzz.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

fuzz() {
    local target=$1 dictionary=() status=0 log=$TMPDIR/$1.log longest=12000
    # What takes more than its length (regular expressions, pairs of keys) is tried more often on less.
    case $target in
        log) longest=4000 ;;
        pipeline) longest=3000 ;;
    esac
    [ ! -e "fuzz/dictionaries/$target" ] || dictionary=(-dict="fuzz/dictionaries/$target")
    mkdir -p "fuzz/artifacts/$target"
    # With the sanitizer and the debug assertions a run takes five times as long as in a release build: 10 s stand for 2 s.
    "$binaries/$target" -max_total_time="$seconds" -timeout=10 -report_slow_units=5 -max_len="$longest" -print_final_stats=1 \
        "${dictionary[@]}" -artifact_prefix="fuzz/artifacts/$target/" "$corpus/$target" > "$log" 2>&1 || status=$?
    echo "== $target: $seconds s, exit status $status"
    if [ "$status" -ne 0 ]; then
        tail -n 60 "$log"
        return 1
    fi
    grep -E '^#[0-9]+.*DONE' "$log" || true
    grep -E '^stat::(number_of_executed_units|average_exec_per_sec|slowest_unit_time_sec|peak_rss_mb)' "$log" || true
}

failed=()
while [ $# -gt 0 ]; do
    running=()
    for target in "${@:1:${JOBS:-2}}"; do
        fuzz "$target" &
        running+=("$target:$!")
    done
    shift ${#running[@]}
    for one in "${running[@]}"; do
        wait "${one#*:}" || failed+=("${one%%:*}")
    done
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "broken: ${failed[*]}; the inputs are in fuzz/artifacts"
    exit 1
fi
