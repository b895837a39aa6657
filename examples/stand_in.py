"""State dicts that weigh nothing: the real keys, dtypes and shapes, one stored element a tensor.

A tensor of zeros expanded to its shape has stride 0 everywhere, so `torch.save` stores one element
for it. Whatever reads only the header sees the same as in the full file. Each tensor keeps a storage
of its own: nothing is tied that is not tied in the original.
"""

import json
from collections import OrderedDict
from pathlib import Path

import torch

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def load(path):
    """Reads an expected.json: key -> {"dtype", "shape"}, order kept."""
    return json.loads(Path(path).read_text())


def dump(path, expected):
    """Writes an expected.json as ckdiff does: one key a line, in order."""
    lines = (f"  {json.dumps(key)}: {json.dumps(what)}" for key, what in expected.items())
    Path(path).write_text("{\n" + ",\n".join(lines) + "\n}\n")


def state_dict(expected, prefix=""):
    """The state_dict with the keys of `expected`, each after `prefix`, as `Module.state_dict()` returns it."""
    made = OrderedDict()
    for key, what in expected.items():
        made[prefix + key] = torch.zeros((), dtype=DTYPES[what["dtype"]]).expand(what["shape"])
    return made


def with_versions(made):
    """Adds `_metadata`, which `Module.state_dict()` hangs on its result: a version for every module."""
    versions = OrderedDict({"": {"version": 1}})
    for key in made:
        parts = key.split(".")[:-1]
        for end in range(1, len(parts) + 1):
            versions.setdefault(".".join(parts[:end]), {"version": 1})
        if key.endswith(".num_batches_tracked"):
            versions[".".join(parts)] = {"version": 2}
    made._metadata = versions
    return made


def save(checkpoint, path):
    """Writes through an open file, as mmcv does: the archive inside is then called `archive`."""
    with open(path, "wb") as file:
        torch.save(checkpoint, file)
