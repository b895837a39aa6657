"""Writes the two shards of a small model, and `other-00002-of-00002.safetensors`: the second shard after another step.

Needs PyTorch and safetensors. `python make.py FOLDER` writes there instead.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
torch.manual_seed(0)


def block(i):
    return {
        f"layers.{i}.attn.qkv.weight": torch.randn(24, 8) * 0.02,
        f"layers.{i}.mlp.weight": torch.randn(16, 8) * 0.02,
        f"layers.{i}.norm.weight": torch.ones(8),
    }


first = {"embed.weight": torch.randn(32, 8) * 0.02, **block(0), **block(1)}
second = {**block(2), **block(3), "head.weight": torch.randn(10, 8) * 0.02}
save_file(first, folder / "model-00001-of-00002.safetensors")
save_file(second, folder / "model-00002-of-00002.safetensors")
second["layers.3.mlp.weight"] = second["layers.3.mlp.weight"] + 0.001
second["head.weight"] = second["head.weight"] * 1.01
save_file(second, folder / "other-00002-of-00002.safetensors")
