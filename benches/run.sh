#!/usr/bin/env bash
# Builds ckdiff, gets the peers, runs benches/bench.py and benches/values.py. Arguments are handed on: --runs N, --only WORD.
#
# PyTorch and safetensors come from the interop test's environment; stprobe is built once into
# ${XDG_CACHE_HOME:-$HOME/.cache}/ckdiff-stprobe-0.2.3.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
stprobe=${XDG_CACHE_HOME:-$HOME/.cache}/ckdiff-stprobe-0.2.3

cargo build --release --quiet --manifest-path "$root/Cargo.toml"
if [ ! -x "$stprobe/bin/stprobe" ]; then
    cargo install stprobe --version 0.2.3 --locked --quiet --root "$stprobe"
fi
python=$("$root/tests/interop/run.sh" --python)
ckdiff=${CARGO_TARGET_DIR:-$root/target}/release/ckdiff
"$python" "$root/benches/bench.py" "$ckdiff" "$stprobe/bin/stprobe" "$@"
"$python" "$root/benches/values.py" "$ckdiff" "$@"
