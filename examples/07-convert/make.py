"""Writes vit_training.pth: a training checkpoint of a small vision transformer as timm names it, with weights of its own.

Needs PyTorch (written with 2.15.0); nothing else. Names and shapes: `VisionTransformer` of
timm/models/vision_transformer.py with embed_dim=8, depth=2, patches of 4×4 in images of 16×16, wrapped for training on
several devices. expected.json is `ViTForImageClassification` of transformers for the same images, as
models/vit/modeling_vit.py names it.

`python make.py FILE` writes to FILE instead.
"""

import sys
from collections import OrderedDict
from pathlib import Path

import torch

HERE = Path(__file__).parent
WIDTH, DEPTH, GRID, CLASSES = 8, 2, 4, 5


def state_dict(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "cls_token": [1, 1, WIDTH],
        "pos_embed": [1, 1 + GRID**2, WIDTH],
        "patch_embed.proj.weight": [WIDTH, 3, 4, 4],
        "patch_embed.proj.bias": [WIDTH],
    }
    for i in range(DEPTH):
        linear = {"attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH)}
        linear |= {"mlp.fc1": (4 * WIDTH, WIDTH), "mlp.fc2": (WIDTH, 4 * WIDTH)}
        for name in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"):
            weight = linear.get(name, (WIDTH,))
            shapes[f"blocks.{i}.{name}.weight"] = list(weight)
            shapes[f"blocks.{i}.{name}.bias"] = [weight[0]]
    shapes |= {"norm.weight": [WIDTH], "norm.bias": [WIDTH], "head.weight": [CLASSES, WIDTH], "head.bias": [CLASSES]}
    return OrderedDict((k, torch.randn(shape, generator=generator)) for k, shape in shapes.items())


model = OrderedDict(("module." + key, value) for key, value in state_dict(0).items())
checkpoint = {"epoch": 90, "model": model, "model_ema": state_dict(1), "optimizer": {"state": {}, "param_groups": []}}
with open(sys.argv[1] if len(sys.argv) > 1 else HERE / "vit_training.pth", "wb") as file:
    torch.save(checkpoint, file)
