"""Writes expected.json: the keys, dtypes and shapes that a PyTorch model wants. One file, PyTorch alone; copy it where the model is.

    python dump_expected.py torchvision.models:resnet50 -o expected.json
    python dump_expected.py my_package.models:Detector classes=80 depth=[2,2,6,2] -o expected.json
    ckdiff weights.pth expected.json

The model is named as `package.module:name`: a class or a function that returns an nn.Module. What follows as NAME=VALUE is handed to it; a
value is a Python literal, or a string. Modules of the working directory are found as well.

No memory is taken for the parameters, however large the model: they are meta tensors, with a shape and without values. (Under
`torch.device("meta")` alone so would be all else that a constructor computes, and many call `.item()` on that.)
"""

import argparse
import ast
import contextlib
import importlib
import json
import os
import sys

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


class Empty(TorchFunctionMode):
    """`torch.empty` makes meta tensors: it has no values that anybody could want."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@contextlib.contextmanager
def without_memory():
    """Within it, parameters are meta tensors once a module registers them. Buffers stay real: constructors read them."""
    register = nn.Module.register_parameter

    def registered(module, name, param):
        if type(param) is nn.Parameter and param.device.type != "meta":
            param = nn.Parameter(param.detach().to("meta"), requires_grad=param.requires_grad)
        register(module, name, param)

    nn.Module.register_parameter = registered
    try:
        with Empty():
            yield
    finally:
        nn.Module.register_parameter = register


def wants_values(error):
    return "meta" in str(error)


def without_values(make):
    """What `make` gives, its parameters without memory."""
    try:
        with without_memory():
            return make()
    except Exception as error:
        if not wants_values(error):
            raise
    # A constructor that runs a part of the model, for the shape of what comes out, needs everything on one device.
    try:
        with torch.device("meta"):
            return make()
    except Exception as error:
        if wants_values(error):
            print("a constructor wants the values of its own parameters: --with-memory makes them real", file=sys.stderr)
        raise


def entry(value):
    """What expected.json says of a tensor. A lazy parameter has no shape before the first batch: null is `not known`."""
    lazy = nn.parameter.is_lazy(value)
    return {"dtype": str(value.dtype), "shape": None if lazy else list(value.shape)}


def write(model, out):
    """One key a line, in the order of the state_dict, so that a change of the model reads well in a review."""
    state = model.state_dict()
    for key in (k for k, v in state.items() if not isinstance(v, torch.Tensor)):
        print(f"{key} is no tensor and is left out", file=sys.stderr)
    lines = [f"  {json.dumps(k)}: {json.dumps(entry(v))}" for k, v in state.items() if isinstance(v, torch.Tensor)]
    out.write("{\n" + ",\n".join(lines) + "\n}\n" if lines else "{}\n")


def named(text):
    """What `package.module:name` stands for."""
    module, colon, names = text.partition(":")
    if not (module and colon and names):
        sys.exit(f"{text}: write package.module:name, as in torchvision.models:resnet50")
    found = importlib.import_module(module)
    for name in names.split("."):
        if not hasattr(found, name):
            sys.exit(f"{text}: {getattr(found, '__name__', found)} has no {name}")
        found = getattr(found, name)
    return found


def argument(text):
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="package.module:name")
    parser.add_argument("arguments", nargs="*", type=argument, metavar="NAME=VALUE", help="handed to it")
    parser.add_argument("-o", "--output", help="where to write; standard output when not given")
    parser.add_argument("--with-memory", action="store_true", help="for a constructor that reads the values of its own parameters")
    given = parser.parse_args()
    sys.path.insert(0, os.getcwd())
    make = named(given.model)
    arguments = dict(given.arguments)
    model = make(**arguments) if given.with_memory else without_values(lambda: make(**arguments))
    if not isinstance(model, nn.Module):
        sys.exit(f"{given.model} gives a {type(model).__name__}, not an nn.Module")
    with open(given.output, "w", encoding="utf-8", newline="\n") if given.output else contextlib.nullcontext(sys.stdout) as out:
        write(model, out)


if __name__ == "__main__":
    main()
