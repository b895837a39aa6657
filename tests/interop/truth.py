"""What the real library sees: the paths, dtypes and shapes of the tensors in a loaded object."""

import numpy
import torch

# safetensors' names where it has one, PyTorch's own otherwise.
NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0", "float4_e2m1fn_x2": "F4",
    "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
    "bool": "BOOL", "complex32": "C32", "complex64": "C64", "complex128": "C128",
}  # fmt: skip


def dtype(value):
    name = str(value).removeprefix("torch.")
    return NAMES.get(name, name.upper())


def tensors(loaded):
    """Yields (path, tensor): nested names joined by dots, positions of lists and int keys as digits."""
    stack = [("", loaded)]
    while stack:
        path, value = stack.pop()
        join = f"{path}." if path else ""
        if isinstance(value, (torch.Tensor, numpy.ndarray)):
            yield path, value
        elif isinstance(value, torch.nn.Module):
            stack.extend((join + key, part) for key, part in value.state_dict().items())
        elif isinstance(value, dict):
            stack.extend((join + str(key), part) for key, part in value.items())
        elif isinstance(value, (list, tuple)):
            stack.extend((f"{join}{position}", part) for position, part in enumerate(value))


def facts(loaded):
    """The set of (path, dtype, shape)."""
    return {(path, dtype(value.dtype), tuple(value.shape)) for path, value in tensors(loaded)}


def facts_of(inspected):
    """The same set out of `ckdiff inspect --format json`."""
    return {(t["path"], t["dtype"].upper(), tuple(t["shape"] or ())) for t in inspected["tensors"]}


def shared(pairs):
    """Groups of paths that share one storage: the set of frozensets with more than one path."""
    groups = {}
    for path, storage in pairs:
        groups.setdefault(storage, set()).add(path)
    return {frozenset(group) for group in groups.values() if len(group) > 1}


def shared_in(loaded):
    return shared((path, value.untyped_storage().data_ptr()) for path, value in tensors(loaded) if value.numel())


def shared_in_inspected(inspected):
    return shared((t["path"], t["storage"]) for t in inspected["tensors"] if 0 not in (t["shape"] or ()))
