"""Writes expected.json for the model that a config describes. One file, the framework alone; copy it where the framework is installed.

    python dump_config.py configs/retinanet.py -o expected.json     MMEngine: OpenMMLab's mmdet, mmpretrain, mmseg, …
    python dump_config.py llama/config.json -o expected.json        Transformers: the file, or the folder that holds it
    python dump_config.py vit/config.json -o expected.json          timm, as on the hub; or args.yaml, as its train.py writes
    ckdiff weights.pth expected.json

What the file says decides which framework it is of. A config of MMEngine is a program, and is run. Of Transformers the class is taken that
the config names in `architectures`; --class takes another, such as AutoModelForSequenceClassification.

No memory is taken for the parameters, however large the model: they are meta tensors, with a shape and without values.
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


# What builds without memory and what writes stand in dump_expected.py as well: either file is to be copied without the other.


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


def of_mmengine(path, _):
    """The `model` of a config, built by the registry of its scope."""
    from mmengine.config import Config
    from mmengine.registry import MODELS, init_default_scope

    config = Config.fromfile(path)
    if "model" not in config:
        sys.exit(f"{path}: the config has no `model`")
    init_default_scope(config.get("default_scope", "mmengine"))
    return MODELS.build(config.model)


def of_transformers(path, wanted):
    """The class that the config names, in the dtype that it names: what from_pretrained would fill."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(path)
    name = wanted or next(iter(config.architectures or []), "AutoModel")
    if not hasattr(transformers, name):
        sys.exit(f"{path}: Transformers has no class {name}; --class names another")
    model = getattr(transformers, name)
    before = torch.get_default_dtype()
    torch.set_default_dtype(config.dtype if isinstance(config.dtype, torch.dtype) else before)
    try:
        return model.from_config(config) if name.startswith("AutoModel") else model(config)
    finally:
        torch.set_default_dtype(before)


def of_timm(path, found):
    """config.json of the hub says `architecture`; args.yaml of train.py has the flags of the run."""
    import timm

    if "architecture" in found:
        classes = found.get("num_classes", found.get("pretrained_cfg", {}).get("num_classes"))
        more, name = {"num_classes": classes} | found.get("model_args", {}), found["architecture"]
    else:
        flags = {"num_classes": "num_classes", "in_chans": "in_chans", "img_size": "img_size", "gp": "global_pool"}
        more, name = {to: found.get(flag) for flag, to in flags.items()} | (found.get("model_kwargs") or {}), found["model"]
    return timm.create_model(name, pretrained=False, **{k: v for k, v in more.items() if v is not None})


def loaded(path):
    """What a config of data says; a program says nothing before it is run."""
    if path.suffix == ".py":
        return {}
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    import yaml  # MMEngine and timm both bring it

    return yaml.safe_load(text)


def built(path, wanted):
    """The model, by the framework that the config is of."""
    config = path / "config.json" if path.is_dir() else path
    found = loaded(config)
    if config.suffix == ".py" or isinstance(found.get("model"), dict):
        return of_mmengine(str(config), wanted)
    if "architecture" in found or isinstance(found.get("model"), str):
        return of_timm(config, found)
    if "model_type" in found or "architectures" in found:
        return of_transformers(str(config), wanted)
    sys.exit(f"{config}: neither a config of MMEngine (`model`), nor of Transformers (`model_type`), nor of timm (`architecture`)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=pathlib.Path, help="the config, or the folder that holds config.json")
    parser.add_argument("-o", "--output", help="where to write; standard output when not given")
    parser.add_argument("--class", dest="name", help="of Transformers: the class to build")
    parser.add_argument("--with-memory", action="store_true", help="for a constructor that reads the values of its own parameters")
    given = parser.parse_args()
    sys.path.insert(0, os.getcwd())
    make = lambda: built(given.config, given.name)  # noqa: E731
    model = make() if given.with_memory else without_values(make)
    with open(given.output, "w", encoding="utf-8", newline="\n") if given.output else contextlib.nullcontext(sys.stdout) as out:
        write(model, out)


if __name__ == "__main__":
    main()
