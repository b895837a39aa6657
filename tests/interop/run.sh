#!/usr/bin/env bash
# Checks ckdiff against the real PyTorch and safetensors, on files that they write during the test.
#
#   tests/interop/run.sh [BINARY]      BINARY: a built ckdiff; without it, cargo builds one
#   tests/interop/run.sh --python      only makes the environment and prints the path of its Python
#
# The Python environment is made once (2.4 GB to download, about 2 minutes) and kept outside the checkout, in
# ${XDG_CACHE_HOME:-$HOME/.cache}/ckdiff-interop-<hash of requirements.txt>. It takes Python 3.11 or later (PYTHON=...).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}

environment() {
    local hash
    hash=$({ cat "$here/requirements.txt"; "$python" -c 'import sys; print(sys.version_info[:2])'; } | sha256sum | cut -c1-12)
    venv=${XDG_CACHE_HOME:-$HOME/.cache}/ckdiff-interop-$hash
    mkdir -p "$(dirname "$venv")"
    # Two runs at once must not install into one folder.
    exec 9>"$venv.lock"
    flock 9
    if [ ! -e "$venv/complete" ]; then
        echo "installing PyTorch and safetensors into $venv" >&2
        rm -rf "$venv"
        "$python" -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt"
        "$venv/bin/python" -c 'import torch, safetensors.torch, numpy'
        touch "$venv/complete"
    fi
    # What a change of the small list needs is added to the large environment, which is not made again for it.
    tools=$venv/tools-$(sha256sum < "$here/requirements-tools.txt" | cut -c1-12)
    if [ ! -e "$tools" ]; then
        echo "installing timm, transformers, mmengine and pre-commit into $venv" >&2
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$here/requirements-tools.txt"
        touch "$tools"
    fi
    exec 9>&-
}

environment
if [ "${1:-}" = --python ]; then
    echo "$venv/bin/python"
    exit
fi
binary=${1:-}
if [ -z "$binary" ]; then
    cargo build --quiet --manifest-path "$root/Cargo.toml"
    binary=${CARGO_TARGET_DIR:-$root/target}/debug/ckdiff
fi
export PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" "$here/interop.py" "$binary"
