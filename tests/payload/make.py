"""Writes the files beside this script: the same tensors in every container, byte order, packing and stride.

    python make.py      (torch, safetensors, numpy)

`plain.safetensors` holds what PyTorch itself makes of each tensor when it is made contiguous.
"""

import io
import pathlib
import pickle
import sys
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent


def tensors():
    torch.manual_seed(7)
    base = torch.randn(6, 8)
    qkv = torch.arange(36, dtype=torch.float16).reshape(12, 3)
    out = {
        "base": base,
        "transposed": base.t(),
        "columns": base[:, 2:5],
        "steps": base[::2, 1::3],
        "last": base.flatten()[-3:],
        "expanded": torch.arange(3, dtype=torch.int64).expand(4, 3),
        "repeated": torch.tensor(2.5, dtype=torch.bfloat16).expand(2, 2),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "permuted": torch.arange(24, dtype=torch.int16).reshape(2, 3, 4).permute(2, 0, 1),
        "q": qkv[:4],
        "k": qkv[4:8],
        "scalar": torch.tensor(3.25, dtype=torch.float64),
        "empty": torch.empty(0, 4),
        "bool": torch.tensor([True, False, True]),
        "u8": torch.arange(250, 256, dtype=torch.uint8),
        "i8": torch.arange(-3, 3, dtype=torch.int8),
        "i32": torch.tensor([[1, -2], [3, 70000]], dtype=torch.int32).t(),
        "c64": torch.tensor([1 + 2j, -3.5j, 4.0], dtype=torch.complex64),
        "bf16": torch.randn(5).bfloat16(),
    }
    return out


def narrow():
    """Dtypes that torch saves over untyped storages."""
    torch.manual_seed(8)
    return {
        "e4m3": torch.randn(7).to(torch.float8_e4m3fn),
        "e5m2": torch.randn(7).to(torch.float8_e5m2),
        "e4m3fnuz": torch.randn(7).to(torch.float8_e4m3fnuz),
        "e5m2fnuz": torch.randn(7).to(torch.float8_e5m2fnuz),
        "u16": torch.arange(65530, 65536, dtype=torch.int32).to(torch.uint16),
        "u32": torch.tensor([1, 2**32 - 1], dtype=torch.int64).to(torch.uint32),
    }


def repacked(data, method, big):
    """The zip of torch.save written anew: packed, or with the byte order of another machine."""
    out = io.BytesIO()
    old = zipfile.ZipFile(io.BytesIO(data))
    # Storages by record name, with the width of their numbers, as the pickle names them.
    widths = {}

    class Look(pickle.Unpickler):
        def persistent_load(self, pid):
            _, kind, key, _, _ = pid
            dtype = torch.uint8 if kind is torch.UntypedStorage else kind.dtype
            widths[key] = torch.empty(0, dtype=dtype).element_size() // (2 if dtype.is_complex else 1)
            return kind

        def find_class(self, module, name):
            return getattr(torch, name) if name.endswith("Storage") else (lambda *a: None)

    Look(io.BytesIO(old.read("archive/data.pkl"))).load()
    with zipfile.ZipFile(out, "w", method) as new:
        for name in old.namelist():
            body = old.read(name)
            key = name.removeprefix("archive/data/")
            if big and name == "archive/byteorder":
                body = b"big"
            elif big and key in widths:
                body = np.frombuffer(body, f"V{widths[key]}").tobytes()
                w = widths[key]
                body = b"".join(body[i : i + w][::-1] for i in range(0, len(body), w))
            new.writestr(zipfile.ZipInfo(name), body, method)
    return out.getvalue()


def main():
    both = {**tensors(), **narrow()}
    save_file({k: v.clone(memory_format=torch.contiguous_format) for k, v in both.items()}, here / "plain.safetensors")
    buffer = io.BytesIO()
    torch.save(tensors(), buffer)
    (here / "zip.pt").write_bytes(buffer.getvalue())
    (here / "deflated.pt").write_bytes(repacked(buffer.getvalue(), zipfile.ZIP_DEFLATED, False))
    (here / "big_endian.pt").write_bytes(repacked(buffer.getvalue(), zipfile.ZIP_STORED, True))
    (here / "big_endian_deflated.pt").write_bytes(repacked(buffer.getvalue(), zipfile.ZIP_DEFLATED, True))
    torch.save(tensors(), here / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(narrow(), here / "narrow.pt")
    arrays = {k: tensors()[k].numpy() for k in ("base", "steps", "i32", "scalar", "c64", "bool")}
    arrays["i32"] = arrays["i32"].astype(">i4")
    arrays["base"] = np.asfortranarray(arrays["base"])
    with open(here / "numpy.pkl", "wb") as file:
        pickle.dump(arrays, file, protocol=4)
    for name, back in (("zip", None), ("deflated", None), ("big_endian", None), ("legacy", None), ("narrow", None)):
        loaded = torch.load(here / f"{name}.pt")
        for key, value in loaded.items():
            same = value.contiguous().view(torch.uint8) if value.dim() else value
            want = both[key].contiguous().view(torch.uint8) if value.dim() else both[key]
            if not torch.equal(same, want):
                sys.exit(f"{name}: {key} is not what was saved")


main()
