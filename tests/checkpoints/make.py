"""Writes the tiny checkpoints of this folder, one for every container and form that ckdiff reads, and manifest.json.

    python make.py        needs torch 2.15, safetensors 0.8, numpy 2.4 (tests/interop/run.sh --python prints such a Python)

What the manifest says of each file comes from the objects that were saved, never from ckdiff. Storages are kept small:
large shapes look into one element with stride 0.
"""

import argparse
import collections
import contextlib
import datetime
import io
import json
import pathlib
import pickle
import struct
import tarfile
import warnings
import zipfile

import numpy
import safetensors.torch
import torch
import torch.distributed.checkpoint as dcp
from torch import nn

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
MANIFEST = {}

NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32", "int16": "I16",
    "int8": "I8", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL", "complex32": "C32",
    "complex64": "C64", "complex128": "C128", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0",
    "float4_e2m1fn_x2": "F4", "qint8": "QINT8", "quint8": "QUINT8", "qint32": "QINT32",
}  # fmt: skip


def of(dtype, *shape):
    """A tensor of any dtype over one element."""
    size = torch.empty((), dtype=dtype).element_size()
    return torch.ones(size, dtype=torch.uint8).view(dtype).as_strided(shape, [0] * len(shape))


def wide(*shape):
    return of(torch.float32, *shape)


def tensors(value, path=""):
    """Every tensor of nested containers: path, dtype, shape."""
    if isinstance(value, nn.Module):
        value = value.state_dict()
    if isinstance(value, torch.Tensor):
        yield path, NAMES[str(value.dtype).removeprefix("torch.")], list(value.shape)
    elif isinstance(value, numpy.ndarray) and value.dtype != object:
        yield path, NAMES[value.dtype.name], list(value.shape)
    elif isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from tensors(item, f"{path}.{key}" if path else str(key))


def note(name, form, value, imports="known", fails=False):
    """Writes down what a reader must find: format, tensors, the worst of the imports, whether inspect fails."""
    listed = [[path, dtype, shape] for path, dtype, shape in tensors(value)]
    MANIFEST[name] = {"format": form, "imports": imports, "fails": fails, "tensors": listed}


def save(name, value, form="torch-zip", **arguments):
    legacy = form == "torch-legacy"
    torch.save(value, HERE / name, _use_new_zipfile_serialization=not legacy, **arguments)
    note(name, form, value)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.bn = nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 1)
        self.register_buffer("kept", torch.ones(1))

    def forward(self, x):
        return self.head(self.bn(self.conv(x)).mean((2, 3)))


def training():
    net = nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "state_dict": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2).state_dict(),
        "args": argparse.Namespace(lr=1e-3, data=pathlib.PurePosixPath("data"), resume=None),
        "when": datetime.datetime(2024, 1, 10),
        "best": numpy.float64(0.5),
        "counts": collections.Counter("abca"),
        "history": [{"loss": torch.tensor(0.5)}],
    }


def zips():
    dtypes = {name: of(getattr(torch, name), 2, 3) for name in NAMES if not name.startswith("q") and hasattr(torch, name)}
    save("zip_dtypes.pt", dtypes)
    for protocol in (2, 4, 5):
        save(f"zip_protocol{protocol}.pt", Net().state_dict(), pickle_protocol=protocol)
    base = torch.ones(12)
    save(
        "zip_views.pt",
        {
            "whole": base,
            "tied": base,
            "part": base[3:9].reshape(2, 3),
            "turned": base.reshape(3, 4).t(),
            "expanded": wide(4096, 1024),
            "scalar": torch.tensor(1.0),
            "empty": torch.zeros(0, 7),
        },
    )
    save("zip_parameters.pt", {"a": nn.Parameter(torch.ones(1)), "b": nn.Parameter(torch.ones(2), requires_grad=False)})
    save("zip_module.pt", nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)))
    save("zip_training.pt", training())
    save("zip_int_keys.pt", {0: torch.ones(1), 17: {"a.b": [torch.ones(2), (torch.ones(3),)]}})
    save("zip_meta.pt", {"m": torch.empty(100, 100, device="meta"), "real": torch.ones(1)})
    save("zip_quantized.pt", {"q": torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 3, torch.qint8)})
    sparse = {"coo": torch.eye(2).to_sparse(), "csr": torch.eye(2).to_sparse_csr()}
    save("zip_sparse.pt", sparse)
    save("zip_empty.pt", collections.OrderedDict())
    save("zip_load_from_bytes.pt", {"w": wide(8, 2), "config": {"lr": 0.1, "name": "net", "sizes": (1, 2)}})
    # Written on a big-endian machine: only the record that says so differs, since every element here is zero.
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(3)}, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(HERE / "zip_big_endian.pt", "w") as new:
        for info in old.infolist():
            new.writestr(info, b"big" if info.filename.endswith("/byteorder") else old.read(info))
    note("zip_big_endian.pt", "torch-zip", {"w": torch.zeros(3)})
    # Packed by a tool that deflates.
    with zipfile.ZipFile(HERE / "zip_protocol2.pt") as old, zipfile.ZipFile(HERE / "zip_deflated.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    MANIFEST["zip_deflated.pt"] = MANIFEST["zip_protocol2.pt"]


def legacy():
    for protocol in (2, 4):
        save(f"legacy_protocol{protocol}.pt", Net().state_dict(), "torch-legacy", pickle_protocol=protocol)
    older = [d for d in NAMES if d.startswith(("float", "int", "uint8", "bool", "bfloat", "complex64", "complex128")) and "8_e" not in d and "4_e" not in d]
    save("legacy_dtypes.pt", {name: of(getattr(torch, name), 2, 3) for name in older}, "torch-legacy")
    # Where the source of a class can be had, this container carries it; here it cannot.
    torch.serialization.get_source_lines_and_file = lambda _: (_ for _ in ()).throw(OSError)
    save("legacy_module.pt", nn.Sequential(nn.Linear(2, 1), nn.ReLU()), "torch-legacy")
    save("legacy_training.pt", training(), "torch-legacy")
    base = torch.ones(6)
    save("legacy_views.pt", {"a": base, "b": base[2:4], "c": base.reshape(2, 3).t()}, "torch-legacy")


def tar():
    """The container of torch.save before 0.1.10, as torch.serialization still reads it."""

    def dumps(*values):
        return b"".join(pickle.dumps(v, protocol=2) for v in values)

    class Persistent(pickle.Pickler):
        def persistent_id(self, value):
            return value.key if isinstance(value, Reference) else None

    class Reference:
        def __init__(self, key):
            self.key = key

    storages = dumps(1) + dumps((7, "cpu", torch.FloatStorage)) + struct.pack("<q6f", 6, *range(6)) + dumps([])
    entries = b""
    for key, sizes, strides, offset in ((11, (2, 3), (3, 1), 0), (12, (2,), (3,), 1)):
        entries += dumps((key, 7, torch.FloatTensor)) + struct.pack("<i4x", len(sizes))
        entries += struct.pack(f"<{len(sizes)}q{len(strides)}qq", *sizes, *strides, offset)
    pickled = io.BytesIO()
    Persistent(pickled, protocol=2).dump(collections.OrderedDict(weight=Reference(11), bias=Reference(12)))
    system = {"protocol_version": 1000, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    with tarfile.open(HERE / "tar.pt", "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in (
            ("sys_info", dumps(system)),
            ("pickle", pickled.getvalue()),
            ("tensors", dumps(2) + entries),
            ("storages", storages),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    found = torch.load(HERE / "tar.pt", weights_only=False)
    assert found["bias"].tolist() == [1.0, 4.0], found
    note("tar.pt", "torch-tar", dict(found))


def script():
    net = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1)).eval()
    torch.jit.trace(net, torch.ones(2, 2)).save(str(HERE / "script.pt"))
    note("script.pt", "torchscript", net)
    # The order of a script's buffers and parameters is by module, as in the state_dict.


def pickles():
    model = {"model": {"conv.weight": numpy.ones((2, 1), numpy.float32), "step": numpy.int64(3)}, "__author__": "X"}
    for protocol in range(6):
        name = f"numpy_protocol{protocol}.pkl"
        (HERE / name).write_bytes(pickle.dumps(model, protocol=protocol))
        note(name, "pickle", {"model": {"conv.weight": model["model"]["conv.weight"]}})
    value = {"w": torch.ones(2, 2), "name": "a tensor in a plain pickle"}
    (HERE / "plain_tensor.pkl").write_bytes(pickle.dumps(value))
    note("plain_tensor.pkl", "pickle", value)


def safe():
    names = [n for n in NAMES if not n.startswith("q") and n not in ("complex32", "complex128") and hasattr(torch, n)]
    value = {name: of(getattr(torch, name), 2, 1).contiguous() for name in names if name != "float4_e2m1fn_x2"}
    safetensors.torch.save_file(value, HERE / "dtypes.safetensors", {"format": "pt", "license": "none"})
    with open(HERE / "dtypes.safetensors", "rb") as file:
        order = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    order.pop("__metadata__")
    by_place = sorted(order, key=lambda k: order[k]["data_offsets"])
    note("dtypes.safetensors", "safetensors", {k: value[k] for k in by_place})
    safetensors.torch.save_file({}, HERE / "empty.safetensors")
    note("empty.safetensors", "safetensors", {})


def sharded():
    parts = [{"a.weight": torch.ones(2, 1), "a.bias": torch.ones(2)}, {"b.weight": torch.ones(1, 2)}]
    for folder, suffix in (("sharded", "safetensors"), ("sharded_bin", "bin")):
        stem = "model" if suffix == "safetensors" else "pytorch_model"
        (HERE / folder).mkdir(exist_ok=True)
        where = {}
        for n, part in enumerate(parts, 1):
            name = f"{stem}-{n:05}-of-00002.{suffix}"
            if suffix == "bin":
                torch.save(part, HERE / folder / name)
            else:
                safetensors.torch.save_file(part, HERE / folder / name)
            where.update(dict.fromkeys(sorted(part), name))
        size = sum(t.numel() * 4 for part in parts for t in part.values())
        index = {"metadata": {"total_size": size}, "weight_map": where}
        (HERE / folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index, indent=1))
    in_order = {"a.bias": parts[0]["a.bias"], "a.weight": parts[0]["a.weight"], "b.weight": parts[1]["b.weight"]}
    note("sharded", "safetensors-sharded", in_order)
    note("sharded_bin", "torch-sharded", {**parts[0], **parts[1]})


def distributed():
    value = {"model": {"w": torch.ones(4, 2), "b": torch.ones(4)}, "epoch": 3}
    # The name of the folder is written into it, so it is given as it stands here.
    with contextlib.chdir(HERE):
        dcp.save(value, checkpoint_id="dcp", no_dist=True)
    note("dcp", "torch-dcp", {"model.w": value["model"]["w"], "model.b": value["model"]["b"]})


def expected():
    shapes = {"conv1.weight": [64, 3, 7, 7], "bn1.num_batches_tracked": [], "fc.bias": [1000]}
    forms = {
        "expected_full.json": {k: {"dtype": "F32", "shape": v} for k, v in shapes.items()},
        "expected_torch.json": {k: {"dtype": "torch.float32", "shape": v} for k, v in shapes.items()},
        "expected_shapes.json": shapes,
        "expected_keys.json": list(shapes),
        "expected_header.json": {
            "__metadata__": {"format": "pt"},
            "w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]},
        },
    }
    for name, form in forms.items():
        (HERE / name).write_text(json.dumps(form, indent=1) + "\n")
        known = [k for k in form if k != "__metadata__"]
        typed = {"expected_full.json": "F32", "expected_torch.json": "F32", "expected_header.json": "BF16"}.get(name)
        shape = (lambda k: None) if name == "expected_keys.json" else (lambda k: shapes.get(k, [2, 2]))
        listed = [[k, typed, shape(k)] for k in known]
        MANIFEST[name] = {"format": "json", "imports": "none", "fails": False, "tensors": listed}


for make in (zips, legacy, tar, script, pickles, safe, sharded, distributed, expected):
    make()
rows = (f" {json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(MANIFEST.items()))
(HERE / "manifest.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
