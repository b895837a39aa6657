"""Files of everyday life that nobody should be warned of: what real writers write beside weights, in every container and protocol.

None may hold a dangerous global or be called incomplete, and nothing that Python, NumPy or PyTorch themselves define may be unknown, but
for what each case names.
"""

import argparse
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import pickle
import random
import sys
import types
import uuid

import numpy
import torch
from torch import nn
from torch.nn.utils import prune

import nets


# ---- Classes of libraries that are not installed: what they pickle are names.


def library(name, **members):
    """A module that can be imported by its name, with these classes or functions in it."""
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
    module = sys.modules[name]
    for key, member in members.items():
        member.__module__, member.__qualname__, member.__name__ = name, key, key
        setattr(module, key, member)
    return module


def plain(name, base=object):
    return type(name, (base,), {})


class Mode(enum.Enum):
    TRAIN = "train"
    EVAL = "eval"


class Flags(enum.IntFlag):
    A = 1
    B = 2


@dataclasses.dataclass
class Config:
    depth: int = 12
    name: str = "vit"
    where: pathlib.PurePath = pathlib.PurePosixPath("runs/1")


Point = collections.namedtuple("Point", "x y")


class Net(nn.Module):
    """A module with what people keep in one: a bound method, partials, an activation by its function."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(inplace=True))
        self.norm = functools.partial(nn.LayerNorm, eps=1e-6)
        self.activation = torch.nn.functional.gelu
        self.chosen = self.forward_features
        self.later = functools.partial(self.forward_features, scale=2)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward_features(self, x, scale=1):
        return self.layers(x) * scale

    def forward(self, x):
        return self.chosen(x)


def state():
    return nets.Classifier().state_dict()


def beside(**values):
    """A checkpoint with a state_dict, and these beside it."""
    return {"state_dict": state(), **values}


def optimizers():
    """A state of every optimizer that PyTorch has, after a step."""
    for name, kind in sorted(vars(torch.optim).items()):
        if not isinstance(kind, type) or not issubclass(kind, torch.optim.Optimizer) or kind is torch.optim.Optimizer:
            continue
        weights = [nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(4, 4))]
        try:
            optimizer = kind(weights, lr=0.01)
            if name == "LBFGS":
                optimizer.step(lambda: sum((w**2).sum() for w in weights))
            else:
                dense = name != "SparseAdam"
                for w in weights:
                    w.grad = torch.ones_like(w) if dense else torch.ones_like(w).to_sparse()
                optimizer.step()
        except Exception:
            optimizer = kind(weights)
        yield f"optimizer_{name}", beside(optimizer=optimizer.state_dict())


def schedulers():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    each = torch.optim.lr_scheduler
    for scheduler in [
        each.StepLR(optimizer, 3),
        each.MultiStepLR(optimizer, [2, 5]),
        each.CosineAnnealingLR(optimizer, 9),
        each.OneCycleLR(optimizer, 0.1, 9),
        each.ReduceLROnPlateau(optimizer),
        each.CyclicLR(optimizer, 0.01, 0.1),
        each.SequentialLR(optimizer, [each.ConstantLR(optimizer), each.ExponentialLR(optimizer, 0.9)], [3]),
        each.LambdaLR(optimizer, lambda step: 1.0),
    ]:
        yield f"scheduler_{type(scheduler).__name__}", beside(lr_scheduler=scheduler.state_dict())


def values():
    """Plain values beside the weights."""
    generator = numpy.random.default_rng(0)
    yield "nothing", beside(none=None, yes=True, no=False, whole=12, large=2**80, real=1.5, inf=float("inf"), nan=float("nan"), turn=1 + 2j)
    yield "texts", beside(ascii="x", accents="é", cjk="权重", emoji="🙂", lines="a\nb", code="import os; os.system('true')", empty="")
    yield "bytes", beside(short=b"x", long=b"y" * 70000, array=bytearray(b"z"))
    yield "containers", beside(a=[1], b=(1,), c={1}, d=frozenset({1}), e={"k": [{"x": ()}]}, f=slice(1, 2), g=range(3), h=...)
    yield "collections", beside(
        a=collections.OrderedDict(x=1), b=collections.defaultdict(list, x=[1]), c=collections.Counter("aab"), d=collections.deque([1], 5)
    )
    yield "defaultdict_of_a_partial", beside(meters=collections.defaultdict(functools.partial(collections.deque, maxlen=20), loss=[1.0]))
    yield "namespace", beside(args=argparse.Namespace(lr=1e-3, out=pathlib.PurePosixPath("out"), nested=argparse.Namespace(x=1)))
    yield "simple_namespace", beside(args=types.SimpleNamespace(lr=1e-3))
    yield "enums", beside(mode=Mode.TRAIN, flags=Flags.A | Flags.B, both={Mode.EVAL: 1})
    yield "dataclass", beside(config=Config())
    yield "namedtuple", beside(point=Point(1, torch.zeros(2)))
    yield "paths", beside(a=pathlib.PurePosixPath("a/b"), b=pathlib.PureWindowsPath("C:\\x"), c=pathlib.Path("x"))
    yield "dates", beside(
        a=datetime.datetime(2024, 1, 2, 3, 4, 5), b=datetime.date(2024, 1, 2), c=datetime.timedelta(1), d=datetime.timezone.utc,
        e=datetime.time(1),
    )
    yield "numbers", beside(a=decimal.Decimal("1.5"), b=fractions.Fraction(1, 3), c=uuid.UUID(int=5))
    yield "numpy_scalars", beside(
        **{t: numpy.dtype(t).type(1) for t in ("float16", "float32", "float64", "int8", "int64", "uint8", "bool", "complex64")},
    )
    yield "numpy_arrays", beside(
        a=numpy.zeros((2, 3)), b=numpy.zeros((2, 3), order="F"), c=numpy.zeros(0), d=numpy.arange(4)[::2], e=numpy.array(["a", "bc"]),
    )
    yield "numpy_dates", beside(
        a=numpy.datetime64("2024-01-01"), b=numpy.array(["2024-01-01"], dtype="datetime64[D]"), c=numpy.timedelta64(1, "s"),
    )
    yield "numpy_structured", beside(
        a=numpy.zeros(2, dtype=[("x", "<f4"), ("y", "<i8")]), b=numpy.rec.array([(1, 2.0)], dtype=[("x", int), ("y", float)]),
    )
    yield "numpy_objects", beside(a=numpy.array([{"x": 1}, None], dtype=object))
    yield "numpy_masked", beside(a=numpy.ma.masked_array([1, 2], mask=[True, False]))
    yield "rng_numpy", beside(rng=numpy.random.get_state(), generator=generator, bits=numpy.random.PCG64(3).state)
    yield "rng_numpy_objects", beside(old=numpy.random.RandomState(0), philox=numpy.random.Generator(numpy.random.Philox(1)))
    yield "rng_python", beside(rng=random.getstate(), own=random.Random(0))
    yield "rng_torch", beside(cpu=torch.get_rng_state(), cuda=[torch.get_rng_state()], own=torch.Generator().get_state())
    yield "torch_values", beside(
        size=torch.Size([1, 2]), device=torch.device("cuda:1"), dtype=torch.bfloat16, layout=torch.strided, fmt=torch.channels_last,
    )
    yield "functions_of_torch", beside(
        a=torch.nn.functional.relu, b=torch.sigmoid, c=torch.tanh, d=nn.GELU, e=nn.LayerNorm, f=torch.optim.AdamW,
    )
    yield "builtin_functions", beside(a=len, b=max, c=str, d=int, e=dict, f=sum, g=abs)
    yield "logger", beside(log=__import__("logging").getLogger("train"))


def tensors():
    """Tensors of every kind."""
    base = torch.arange(24, dtype=torch.float32)
    yield "dtypes", {
        str(d): torch.zeros(4, dtype=torch.uint8).view(d) for d in (torch.uint8, torch.int8, torch.bool, torch.int32, torch.float32)
    }
    yield "dtypes_narrow", {
        n: torch.zeros(8, dtype=torch.uint8).view(getattr(torch, n))
        for n in ("float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "uint16", "uint32", "uint64", "complex64")
        if hasattr(torch, n)
    }
    yield "complex", {
        "a": torch.zeros(3, dtype=torch.complex64), "b": torch.zeros(3, dtype=torch.complex128),
        "c": torch.zeros(3, dtype=torch.complex64).conj(),
    }
    yield "negative_bit", {"a": torch.zeros(3, dtype=torch.complex64).conj().imag}
    yield "views", {
        "a": base.view(4, 6).t(), "b": base[3:9], "c": base[::2], "d": torch.ones(1).expand(4),
        "e": base.view(2, 3, 4).permute(2, 0, 1),
    }
    yield "tied", {"embed.weight": base, "head.weight": base}
    yield "empty_and_scalar", {"a": torch.zeros(0, 3), "b": torch.tensor(1.0), "c": torch.zeros(())}
    yield "parameters", {"a": nn.Parameter(base), "b": nn.Parameter(base.clone(), requires_grad=False), "c": base.clone().requires_grad_()}
    yield "buffers", {"a": nn.Buffer(base)} if hasattr(nn, "Buffer") else {"a": base}
    yield "sparse_coo", {"a": torch.eye(3).to_sparse()}
    yield "sparse_csr", {"a": torch.eye(3).to_sparse_csr(), "b": torch.eye(4).to_sparse_bsr((2, 2)), "c": torch.eye(3).to_sparse_csc()}
    yield "quantised", {
        "a": torch.quantize_per_tensor(base, 0.1, 0, torch.qint8),
        "b": torch.quantize_per_channel(base.view(4, 6), torch.ones(4), torch.zeros(4), 0, torch.quint8),
    }
    yield "nested", {"a": torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(4, 3)])}
    yield "jagged", {"a": torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(4, 3)], layout=torch.jagged)}
    yield "meta", {"a": torch.zeros(3, device="meta"), "b": base}
    yield "storages", {"typed": base.storage(), "untyped": torch.zeros(3).untyped_storage(), "a": base}
    yield "with_attributes", {"a": marked(base)}
    yield "hooks", {"a": base, "hooks": collections.OrderedDict()}
    yield "lists", [base, {"x": base}, (base, [base])]
    yield "int_keys", {0: base, 1: {2: base}, (1, 2): 3}


def marked(tensor):
    """A parameter with attributes of its own, as tensor parallelism sets them."""
    parameter = nn.Parameter(tensor.clone())
    parameter.tensor_model_parallel, parameter.partition_dim = True, 0
    return parameter


class Marked(torch.Tensor):
    """A subclass of tensors."""


def modules():
    """Whole modules: what `torch.save(model)` writes."""
    net = Net()
    yield "whole_module", net
    yield "whole_module_in_a_dict", {"model": net, "ema": None, "epoch": 3}
    yield "whole_of_torch", nn.Sequential(
        nn.Linear(2, 3), nn.ReLU(), nn.Dropout(), nn.MultiheadAttention(4, 2), nn.LSTM(2, 3), nn.Embedding(3, 4),
    )
    yield "transformer", nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False)
    yield "data_parallel", {"model": nn.DataParallel(nets.Classifier()).state_dict()}
    yield "weight_norm", nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)).state_dict()
    yield "spectral_norm", nn.utils.spectral_norm(nn.Linear(2, 3))
    yield "pruned", pruned()
    yield "optimizer_object", {"model": nets.Classifier(), "optimizer": torch.optim.AdamW([nn.Parameter(torch.zeros(2))])}
    yield "ema_object", torch.optim.swa_utils.AveragedModel(nn.Linear(2, 3))
    yield "losses", {"criterion": nn.CrossEntropyLoss(torch.ones(3)), "other": nn.SmoothL1Loss(), "w": torch.zeros(1)}
    yield "hooked", hooked()
    yield "distribution", {"prior": torch.distributions.Normal(torch.zeros(2), torch.ones(2)), "w": torch.zeros(1)}
    yield "quantised_module", torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4)), {nn.Linear}, torch.qint8)
    yield "observed_module", observed()
    yield "compiled", torch.compile(nets.Classifier())
    yield "compiled_state_dict", torch.compile(nets.Classifier()).state_dict()
    yield "distributed", distributed()
    yield "subclass", {"a": torch.zeros(3).as_subclass(Marked)}


def distributed():
    """Tensors spread over two processes, of which this is one."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor
    from torch.testing._internal.distributed.fake_pg import FakeStore

    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    mesh = init_device_mesh("cpu", (2,))
    return {name: distribute_tensor(torch.zeros(4, 4), mesh, [how]) for name, how in [("a", Shard(0)), ("b", Replicate())]}


def pruned():
    linear = nn.Linear(3, 3)
    prune.random_unstructured(linear, "weight", 0.3)
    return linear


def hooked():
    linear = nn.Linear(3, 3)
    linear.register_forward_hook(hook)
    return linear


def hook(module, given, out):
    return out


def observed():
    observer = torch.ao.quantization.MinMaxObserver()
    observer(torch.ones(3))
    return {"model": nets.Classifier(), "observer": observer, "fake": torch.ao.quantization.FakeQuantize()}


def frameworks():
    """What training frameworks write, with their classes by name."""
    history = None
    if "mmengine" not in sys.modules:
        history = library("mmengine.logging.history_buffer", HistoryBuffer=plain("HistoryBuffer")).HistoryBuffer
    detection = library("ultralytics.nn.tasks", DetectionModel=plain("DetectionModel", Net)).DetectionModel
    yolo5 = library("models.yolo", Model=plain("Model", Net), Detect=plain("Detect", nn.Module))
    conv = library("models.common", Conv=plain("Conv", nn.Module)).Conv
    attributes = library("pytorch_lightning.utilities.parsing", AttributeDict=plain("AttributeDict", dict)).AttributeDict
    checkpointing = library("pytorch_lightning.callbacks.model_checkpoint", ModelCheckpoint=plain("ModelCheckpoint")).ModelCheckpoint
    dictionary = library("omegaconf.dictconfig", DictConfig=plain("DictConfig")).DictConfig
    library("omegaconf.base", ContainerMetadata=plain("ContainerMetadata"))
    cfg = library("yacs.config", CfgNode=plain("CfgNode", dict)).CfgNode
    words = library("fairseq.data.dictionary", Dictionary=plain("Dictionary")).Dictionary
    arguments = library("transformers.training_args", TrainingArguments=plain("TrainingArguments")).TrainingArguments
    strategy = library("transformers.trainer_utils", IntervalStrategy=Mode).IntervalStrategy
    fragment = library("deepspeed.utils.tensor_fragment", fragment_address=plain("fragment_address")).fragment_address
    learner = library("fastai.learner", Learner=plain("Learner")).Learner
    forest = library("sklearn.ensemble._forest", RandomForestClassifier=plain("RandomForestClassifier")).RandomForestClassifier
    box = library("addict.addict", Dict=plain("Dict", dict)).Dict
    iterable = library(
        "ultralytics.utils", IterableSimpleNamespace=plain("IterableSimpleNamespace", types.SimpleNamespace),
    ).IterableSimpleNamespace

    hyper = {"lr": 1e-3, "mode": Mode.TRAIN, "dir": pathlib.PurePosixPath("runs"), "when": datetime.datetime(2024, 1, 1), "sizes": (1, 2)}
    lightning = {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "2.2.0",
        "state_dict": {"model." + k: v for k, v in state().items()},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'loss'}": {"best_model_score": torch.tensor(0.1), "best_model_path": "x.ckpt"}},
        "optimizer_states": [],
        "lr_schedulers": [],
        "hparams_name": "hparams",
        "hyper_parameters": hyper,
    }
    yield "lightning", lightning
    yield "lightning_attribute_dict", {**lightning, "hyper_parameters": attributes(hyper)}
    yield "lightning_namespace", {**lightning, "hyper_parameters": {"args": argparse.Namespace(**hyper)}}
    yield "lightning_callback_by_class", {**lightning, "callbacks": {checkpointing: {"best_model_score": torch.tensor(0.1)}}}
    yield "lightning_omegaconf", {**lightning, "hyper_parameters": held(dictionary(), _content={"lr": 1e-3})}
    yield "ultralytics", {
        "model": detection(), "ema": detection(), "updates": 3, "train_args": {"epochs": 3}, "date": "2024-01-01", "version": "8.1",
    }
    yield "ultralytics_args", {"model": detection(), "args": iterable(epochs=3)}
    yield "yolov5", {
        "epoch": -1, "best_fitness": numpy.float64(0.5), "model": yolo5.Model(), "detect": yolo5.Detect(), "conv": conv(),
        "wandb_id": None,
    }
    if history is not None:
        yield "mmengine", {"meta": {"epoch": 1, "cfg": "x = 1"}, "state_dict": state(), "message_hub": held(history(), _log=numpy.zeros(3))}
    yield "detectron2_training", {"model": state(), "trainer": {"iteration": 5}, "cfg": cfg(a=1)}
    yield "fairseq", {"args": argparse.Namespace(arch="x"), "model": state(), "extra": held(words(), indices={"a": 1}), "cfg": None}
    yield "transformers_training_args", held(arguments(), lr=1e-3, device=torch.device("cpu"), strategy=strategy.TRAIN)
    yield "deepspeed", {"module": state(), "fragments": [held(fragment(), numel=3)], "dp_world_size": 8, "ds_version": "0.14"}
    yield "fastai", held(learner(), model=Net(), loss=nn.CrossEntropyLoss())
    yield "sklearn", held(forest(), trees=numpy.zeros(3))
    yield "addict", {"cfg": box(x=1), "state_dict": state()}
    yield "detr", {
        "model": state(), "optimizer": {}, "lr_scheduler": {}, "epoch": 1, "args": argparse.Namespace(device="cuda", masks=False),
    }
    yield "timm", {
        "epoch": 1, "arch": "resnet18", "state_dict": state(), "version": 2, "args": argparse.Namespace(opt="sgd"), "metric": 77.1,
    }
    yield "metric_logger", {"model": state(), "meters": collections.defaultdict(list, loss=[1.0, numpy.float32(2)])}


def held(thing, **attributes):
    """An object with these attributes."""
    thing.__dict__.update(attributes)
    return thing


def detectron2(path):
    """A model of the zoo: arrays in a plain pickle."""
    with open(path, "wb") as file:
        arrays = {k: v.numpy() for k, v in state().items()}
        pickle.dump({"model": arrays, "__author__": "x", "matching_heuristics": True}, file)


def caffe2(path):
    with open(path, "wb") as file:
        pickle.dump({"blobs": {"conv1_w": numpy.zeros((2, 3, 3, 3), numpy.float32)}}, file, protocol=2)


def script(path):
    torch.jit.trace(nets.Classifier().backbone, torch.zeros(1, 3, 9, 9)).save(path)


def scripted(path):
    torch.jit.script(nn.Sequential(nn.Linear(2, 3), nn.ReLU())).save(str(path))


def mobile(path):
    torch.jit.script(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))._save_for_lite_interpreter(str(path))


def writers(objects):
    """What each object is written by: the container and the protocol change from one to the next."""
    ways = [{"pickle_protocol": p} for p in (2, 3, 4, 5)] + [{"_use_new_zipfile_serialization": False}] + [
        {"_use_new_zipfile_serialization": False, "pickle_protocol": 4}
    ]
    for i, (name, thing) in enumerate(objects):
        yield name, thing, ways[i % len(ways)], ways[(i + 4) % len(ways)]


# What PyTorch and Python define themselves and ckdiff still calls unknown, since it can do more than hold values.
HONEST = (
    "functools.partial", "builtins.getattr", "__builtin__.getattr", "torch._C._VariableFunctionsClass", "torch.ao.quantization",
    "torch.nn.intrinsic", "torch.optim", "torch._TorchCompileInductorWrapper", "torch._dynamo",
)
OWN = ("torch.", "numpy.", "builtins.", "__builtin__.", "collections.", "copyreg.", "copy_reg.", "datetime.", "pathlib.", "decimal.")


def check(checks, ckdiff, path, name):
    found = ckdiff.inspect(path)
    imports = {i["global"]: i["verdict"] for i in found["imports"]}
    dangerous = [g for g, verdict in imports.items() if verdict == "dangerous"]
    checks.equal(dangerous, [], f"benign {name}: nothing is called dangerous")
    checks.that(found["complete"], f"benign {name}: it is read to its end", [f["message"] for f in found["findings"]])
    safety = [f["message"] for f in found["findings"] if f["code"].startswith("CK5") and f["severity"] == "error"]
    checks.equal(safety, [], f"benign {name}: no error about its safety")
    own = [g for g, verdict in imports.items() if verdict == "unknown" and g.startswith(OWN) and not g.startswith(HONEST)]
    checks.equal(own, [], f"benign {name}: what Python, NumPy and PyTorch define is known")
    plain_ones = (*OWN, "argparse.", "_codecs.", "types.", "fractions.", "uuid.", "random.", "logging.", "array.", "__torch__", "enum.")
    theirs = [g for g, verdict in imports.items() if verdict == "known" and not g.startswith(plain_ones)]
    checks.equal(theirs, [], f"benign {name}: classes of others are unknown, which is what they are")


def check_all(checks, ckdiff, folder):
    objects = [*optimizers(), *schedulers(), *values(), *tensors(), *modules(), *frameworks()]
    count = 0
    for name, thing, *ways in writers(objects):
        for way in ways:
            legacy = "" if way.get("_use_new_zipfile_serialization", True) else "legacy_"
            path = folder / f"{name}_{legacy}{way.get('pickle_protocol', 2)}.pth"
            try:
                torch.save(thing, path, **way)
            except Exception as error:  # What PyTorch does not write in that container is no file of anybody's.
                print(f"benign {path.name}: not written: {type(error).__name__}: {str(error)[:90]}")
                continue
            with checks.guarded(f"benign {path.name}"):
                check(checks, ckdiff, path, path.stem)
                count += 1
    for write in (detectron2, caffe2, script, scripted, mobile):
        path = folder / f"{write.__name__}.pkl"
        with checks.guarded(f"benign {write.__name__}"):
            write(path)
            check(checks, ckdiff, path, write.__name__)
            count += 1
    checks.that(count >= 100, "a hundred benign files and more were written", count)
