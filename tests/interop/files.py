"""`inspect` on files of every kind that torch.save and safetensors write."""

import argparse
import datetime
import json
import pathlib
import pickle
from collections import OrderedDict

import numpy
import safetensors
import safetensors.torch
import torch
from torch import nn

import nets
import truth

DTYPES = [getattr(torch, name) for name in truth.NAMES if hasattr(torch, name)]
# The legacy format writes these and PyTorch cannot read them back (2.15): it keeps no dtype for them.
NOT_IN_LEGACY = {"uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
                 "float8_e8m0fnu", "float4_e2m1fn_x2", "complex32"}  # fmt: skip


def of_dtype(dtype, *shape):
    """A tensor of any dtype, also of those without arithmetic."""
    size = torch.empty((), dtype=dtype).element_size()
    count = int(numpy.prod(shape))
    return torch.zeros(count * size, dtype=torch.uint8).view(dtype).reshape(shape)


def every_dtype(skip=()):
    return {str(d).removeprefix("torch."): of_dtype(d, 2, 3) for d in DTYPES if str(d).removeprefix("torch.") not in skip}


def views():
    base = torch.arange(60, dtype=torch.float32)
    return {
        "whole": base,
        "transposed": base.reshape(6, 10).t(),
        "offset": base[17:29].reshape(3, 4),
        "strided": base[::7],
        "expanded": torch.ones(3, 1).expand(3, 5),
        "scalar": torch.tensor(4.0),
        "empty": torch.zeros(0, 7),
        "channels_last": torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "overlapping": torch.zeros(9).as_strided((4, 3), (2, 1)),
    }


def training_checkpoint():
    """All that training scripts put beside the weights."""
    net = nets.Classifier()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    net.head(net.backbone(torch.randn(2, 3, 9, 9)).mean((2, 3))).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    ema = nets.Classifier()
    return {
        "epoch": 12,
        "model": net.state_dict(),
        "model_ema": ema.state_dict(),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": scheduler.state_dict(),
        "args": argparse.Namespace(lr=1e-3, data=pathlib.PurePosixPath("data/coco"), resume=None, betas=(0.9, 0.999)),
        "best": numpy.float64(0.743),
        "confusion": numpy.zeros((3, 3), dtype=numpy.int32),
        "rng": {"torch": torch.get_rng_state(), "python": (3, (1, 2, 3), None)},
        "when": datetime.datetime(2024, 1, 10, 12, 0),
        "history": [{"loss": 1.5}, {"loss": torch.tensor(0.5)}],
        "extra": OrderedDict(a={1: torch.ones(2), "b": [None, True, torch.zeros(1, 1)]}),
    }


def torch_files(folder):
    """Writes the files; yields their paths."""
    state = nets.Detector().state_dict()
    for protocol in (2, 3, 4, 5):
        for legacy in (False, True):
            path = folder / f"state_dict_{'legacy' if legacy else 'zip'}_protocol{protocol}.pth"
            torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
            yield path
    tied = nets.Tied()
    quantised = torch.quantize_per_tensor(torch.randn(3, 4), 0.1, 3, torch.qint8)
    contents = {
        "plain_dict": dict(state),
        "views": views(),
        "tied": tied.state_dict(),
        "parameters": {"p": nn.Parameter(torch.ones(2, 2)), "frozen": nn.Parameter(torch.ones(1), requires_grad=False)},
        "whole_module": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 2), nn.GRU(2, 3))),
        "module_in_dict": {"model": nn.TransformerEncoderLayer(8, 2, 16), "epoch": 3},
        "data_parallel": nn.DataParallel(nets.Backbone()).state_dict(),
        "training": training_checkpoint(),
        "list": [torch.ones(2), [torch.zeros(3, dtype=torch.int16)], (torch.ones(1, dtype=torch.bool),)],
        "one_tensor": torch.ones(2, 3),
        "empty": {},
        "int_keys": {0: torch.ones(1), 17: {"a": torch.ones(2)}},
        "quantised": {"per_tensor": quantised},
        "weight_norm": nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)).state_dict(),
    }
    for name, content in contents.items():
        for legacy in (False, True):
            path = folder / f"{name}_{'legacy' if legacy else 'zip'}.pt"
            torch.save(content, path, _use_new_zipfile_serialization=not legacy)
            yield path
    only_zip = {
        "dtypes": every_dtype(),
        "sparse": {"coo": torch.eye(3).to_sparse(), "csr": torch.eye(4).to_sparse_csr()},
        "meta": {"m": torch.empty(1000, 1000, device="meta"), "real": torch.ones(1)},
    }
    for name, content in only_zip.items():
        path = folder / f"{name}_zip.pt"
        torch.save(content, path)
        yield path
    path = folder / "dtypes_legacy.pt"
    torch.save(every_dtype(NOT_IN_LEGACY), path, _use_new_zipfile_serialization=False)
    yield path


def check_torch(checks, ckdiff, folder):
    for path in torch_files(folder):
        with checks.guarded(path.name):
            loaded = torch.load(path, weights_only=False)
            ours = ckdiff.inspect(path)
            checks.equal(truth.facts_of(ours), truth.facts(loaded), f"{path.name}: tensors")
            checks.that(ours["complete"], f"{path.name}: complete", ours.get("unreadable"))
            kind = "torch-legacy" if "legacy" in path.name else "torch-zip"
            checks.equal(ours["format"], kind, f"{path.name}: format")
    for name in ("tied_zip.pt", "tied_legacy.pt", "views_zip.pt"):
        with checks.guarded(name):
            loaded = torch.load(folder / name, weights_only=True)
            ours = ckdiff.inspect(folder / name)
            checks.equal(truth.shared_in_inspected(ours), truth.shared_in(loaded), f"{name}: shared storages")


def check_torchscript(checks, ckdiff, folder):
    net = nets.Backbone().eval()
    script, traced = torch.jit.script(net), torch.jit.trace(net, torch.randn(1, 3, 9, 9))
    for name, module in (("script.pt", script), ("traced.pt", traced)):
        with checks.guarded(name):
            module.save(str(folder / name))
            loaded = torch.jit.load(str(folder / name))
            checks.equal(truth.facts_of(ckdiff.inspect(folder / name)), truth.facts(loaded.state_dict()), f"{name}: tensors")


def check_safetensors(checks, ckdiff, folder):
    contents = {
        "state_dict": nets.Detector().state_dict(),
        "dtypes": {k: v for k, v in every_dtype().items() if truth.NAMES[k] not in ("C32", "C128")},
        "empty": {},
        "odd_names": {"": torch.ones(1), "a b": torch.ones(2), "ключ.重み": torch.ones(3), 'q"\\\n': torch.zeros(0, 2)},
    }
    for name, content in contents.items():
        path = folder / f"{name}.safetensors"
        with checks.guarded(path.name):
            safetensors.torch.save_file(content, path, metadata={"format": "pt"})
            ours = ckdiff.inspect(path)
            # What the file says, not what PyTorch makes of it: F4 counts elements, float4_e2m1fn_x2 counts pairs.
            with safetensors.safe_open(path, "pt") as file:
                slices = {key: file.get_slice(key) for key in file.keys()}
                theirs = {(key, part.get_dtype(), tuple(part.get_shape())) for key, part in slices.items()}
            checks.equal(truth.facts_of(ours), theirs, f"{path.name}: tensors")
            checks.equal(ours["format"], "safetensors", f"{path.name}: format")


def check_sharded(checks, ckdiff, folder):
    """The layout of Hugging Face: shards, and an index that says which key is where."""
    state = nets.Tied(tie=False).state_dict()
    keys = list(state)
    for kind, name in (("safetensors", "model.safetensors"), ("bin", "pytorch_model.bin")):
        home = folder / f"sharded_{kind}"
        home.mkdir()
        index = {"metadata": {"total_size": sum(t.nbytes for t in state.values())}, "weight_map": {}}
        for number, start in enumerate(range(0, len(keys), 4), 1):
            stem, _, suffix = name.partition(".")
            shard = f"{stem}-{number:05d}-of-{-(-len(keys) // 4):05d}.{suffix}"
            part = {k: state[k] for k in keys[start : start + 4]}
            if kind == "safetensors":
                safetensors.torch.save_file(part, home / shard)
            else:
                torch.save(part, home / shard)
            index["weight_map"].update({k: shard for k in part})
        (home / f"{name}.index.json").write_text(json.dumps(index))
        for path in (home, home / f"{name}.index.json"):
            with checks.guarded(f"{path.name}"):
                checks.equal(truth.facts_of(ckdiff.inspect(path)), truth.facts(state), f"{home.name} through {path.name}: tensors")


def check_numpy_pickles(checks, ckdiff, folder):
    """Detectron2's model zoo: a plain pickle of numpy arrays."""
    content = {"model": {"stem.conv1.weight": numpy.zeros((4, 3, 7, 7), "float32"), "count": numpy.array(3)}, "__author__": "x"}
    for protocol in (2, 4, 5):
        path = folder / f"detectron2_protocol{protocol}.pkl"
        with checks.guarded(path.name):
            path.write_bytes(pickle.dumps(content, protocol))
            loaded = pickle.loads(path.read_bytes())
            checks.equal(truth.facts_of(ckdiff.inspect(path)), truth.facts(loaded), f"{path.name}: tensors")


def check_values_are_never_run(checks, ckdiff, folder):
    """A pickle that would write a file when it is loaded: named, and not run."""

    class Bomb:
        def __reduce__(self):
            return (exec, (f"open({str(folder / 'ran')!r}, 'w')",))

    path = folder / "bomb.pt"
    with checks.guarded(path.name):
        torch.save({"w": torch.ones(1), "x": Bomb()}, path)
        ours = ckdiff.inspect(path)
        asked = {i["global"]: i["verdict"] for i in ours["imports"]}
        checks.that(not (folder / "ran").exists(), "bomb.pt: nothing was run")
        checks.that("dangerous" in asked.values(), "bomb.pt: the import is named dangerous", asked)


def check_all(checks, ckdiff, folder):
    for part in (check_torch, check_torchscript, check_safetensors, check_sharded, check_numpy_pickles,
                 check_values_are_never_run):  # fmt: skip
        with checks.guarded(part.__name__):
            part(checks, ckdiff, folder)
