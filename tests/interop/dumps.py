"""From a model class, or a config, to expected.json: the helpers of examples/python, and the lines that --help and README show.

Each dump is held against the model itself, built as its framework builds it: the same keys, dtypes and shapes in the same order, and
its own saved state_dict loads without a word.
"""

import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import textwrap
import warnings

import torch
from torch import nn

import nets

ROOT = pathlib.Path(__file__).resolve().parents[2]
HELPERS = ROOT / "examples/python"

# What a project of its own may hold: constructors that compute, read back what they computed, tie, and register buffers.
PROJECT = '''
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width, rate):
        super().__init__()
        assert isinstance(rate, float)
        self.norm = nn.BatchNorm1d(width)
        self.gamma = nn.Parameter(rate * torch.ones(width))
        self.register_buffer("index", torch.arange(width))
        self.register_buffer("scratch", torch.zeros(3), persistent=False)
        self.fill = nn.Parameter(torch.empty(width, dtype=torch.float16))
        nn.init.constant_(self.fill, self.index.max().item())


class Net(nn.Module):
    def __init__(self, width=4, rates=(0.1, 0.2), head="linear"):
        super().__init__()
        rates = [r.item() for r in torch.linspace(*rates, 3)]
        self.blocks = nn.Sequential(*(Block(width, r) for r in rates))
        self.embed = nn.Embedding(11, width)
        self.head = nn.Linear(width, 11, bias=head != "linear")
        self.head.weight = self.embed.weight
        self.factor = nn.utils.parametrizations.weight_norm(nn.Linear(width, 2))


class Reads(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("total", torch.full((int(self.weight.sum().item()),), 1.0))


def net(**arguments):
    return Net(**arguments)


def nothing():
    return 3
'''


def helper(name, *arguments, cwd, ok=True):
    done = subprocess.run([sys.executable, HELPERS / name, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300,
                          env=os.environ | {"PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"})
    if ok and done.returncode:
        raise RuntimeError(f"{name} {arguments}: {done.stderr[-1500:]}")
    return done


def holds(checks, ckdiff, model, dump, name):
    """The dump says of the model what the model says of itself, and its weights load into it."""
    wanted = {k: {"dtype": str(v.dtype), "shape": list(v.shape)} for k, v in model.state_dict().items()}
    expected = json.loads(dump.read_text())
    checks.equal(list(expected.items()), list(wanted.items()), f"dumps: {name}")
    checks.equal(len(dump.read_text().splitlines()), len(wanted) + 2, f"dumps: {name}, one key a line")
    weights = dump.with_suffix(".pth")
    torch.save(model.state_dict(), weights)
    done = ckdiff._run(weights, dump)
    checks.equal((done.returncode, done.stdout + done.stderr), (0, ""), f"dumps: {name}, its own weights load in silence")
    # The dump can fail: without its last key it no longer holds.
    lines = dump.read_text().splitlines()
    dump.write_text("\n".join(lines[:-2]).rstrip(",") + "\n}\n")
    checks.equal(ckdiff._run(weights, dump).returncode, 1, f"dumps: {name}, one key less is noticed")
    weights.unlink()


def check_classes(checks, ckdiff, folder):
    import timm
    import torchvision

    (folder / "project").mkdir()
    (folder / "project/net.py").write_text(PROJECT)
    sys.path.insert(0, str(folder))
    import project.net as own

    for spec, arguments, make in (
        ("torchvision.models:resnet18", [], torchvision.models.resnet18),
        ("torchvision.models:swin_t", ["num_classes=7"], lambda: torchvision.models.swin_t(num_classes=7)),
        ("torchvision.models:densenet121", [], torchvision.models.densenet121),
        ("torchvision.models.detection:ssdlite320_mobilenet_v3_large", ["weights_backbone=None"],
         lambda: torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights_backbone=None)),
        ("timm:create_model", ["model_name=efficientvit_m4"], lambda: timm.create_model("efficientvit_m4")),
        ("timm:create_model", ["model_name=swinv2_cr_tiny_ns_224"], lambda: timm.create_model("swinv2_cr_tiny_ns_224")),
        ("project.net:Net", [], own.Net),
        ("project.net:net", ["width=6", "rates=(0.0, 0.5)", "head=mlp"], lambda: own.Net(6, (0.0, 0.5), "mlp")),
        ("torch.nn:Transformer", ["d_model=16", "nhead=2"], lambda: nn.Transformer(16, 2)),
    ):
        name = " ".join([spec, *arguments])
        with checks.guarded(f"dumps: {name}"):
            out = folder / "class.json"
            helper("dump_expected.py", spec, *arguments, "-o", out, cwd=folder)
            holds(checks, ckdiff, make(), out, name)
    with checks.guarded("dumps: the story of check"):
        out = folder / "densenet.json"
        helper("dump_expected.py", "torchvision.models:densenet121", "-o", out, cwd=folder)
        story = json.loads((ROOT / "examples/05-check/expected.json").read_text())
        shapes = {k: v["shape"] for k, v in json.loads(out.read_text()).items()}
        checks.equal(list(shapes.items()), [(k, v["shape"]) for k, v in story.items()], "dumps: what the story of check says to run")


def check_refusals(checks, folder):
    for arguments, status, words in (
        (["project.net"], 1, "write package.module:name"),
        (["project.net:Nett"], 1, "project.net has no Nett"),
        (["project.net:nothing"], 1, "gives a int, not an nn.Module"),
        (["project.net:Net", "width"], 2, "width is not NAME=VALUE"),
        (["project.net:Reads"], 1, "--with-memory"),
        (["project.net:Reads", "--with-memory"], 0, ""),
    ):
        done = helper("dump_expected.py", *arguments, cwd=folder, ok=False)
        checks.equal(done.returncode, status, f"dumps: {arguments}: {done.stderr[-300:]}")
        checks.that(words in done.stderr, f"dumps: {arguments} says `{words}`", done.stderr[-300:])
    lazy = helper("dump_expected.py", "torch.nn:LazyLinear", "out_features=3", cwd=folder)
    checks.equal(json.loads(lazy.stdout)["weight"], {"dtype": "torch.float32", "shape": None}, "dumps: a lazy shape is not known")


def check_memory(checks, folder):
    """360 GB of one layer: no machine of the test has that, so the dump takes none of it."""
    helper("dump_expected.py", "torch.nn:Linear", "in_features=300000", "out_features=300000", cwd=folder)
    llama = folder / "llama"
    llama.mkdir()
    sizes = {"hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126, "num_attention_heads": 128,
             "num_key_value_heads": 8, "vocab_size": 128256}
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"} | sizes
    (llama / "config.json").write_text(json.dumps(config))
    keys = json.loads(helper("dump_config.py", llama, cwd=folder).stdout)
    parameters = sum(torch.Size(v["shape"]).numel() for v in keys.values())
    checks.that(parameters > 400e9, "dumps: a model of 400 billion parameters", str(parameters))
    checks.equal({v["dtype"] for v in keys.values()}, {"torch.bfloat16"}, "dumps: in the dtype of the config")
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    checks.that(most < 4 << 20, "dumps: with no more memory than the libraries take", f"{most >> 10} MB")


def check_transformers(checks, ckdiff, folder):
    import transformers as t

    t.logging.set_verbosity_error()
    t.logging.disable_progress_bar()
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 40}
    for config, wanted, more in (
        (t.BertConfig(**small, architectures=["BertForMaskedLM"]), t.BertForMaskedLM, []),
        (t.BertConfig(**small), t.BertModel, []),
        (t.BertConfig(**small, num_labels=5, architectures=["BertForMaskedLM"]), t.BertForSequenceClassification,
         ["--class", "AutoModelForSequenceClassification"]),
        (t.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=40, n_positions=32, architectures=["GPT2LMHeadModel"]),
         t.GPT2LMHeadModel, []),
        (t.LlamaConfig(**small, num_key_value_heads=2, dtype=torch.bfloat16, architectures=["LlamaForCausalLM"]), t.LlamaForCausalLM, []),
        (t.ViTConfig(image_size=16, patch_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
                     architectures=["ViTForImageClassification"]), t.ViTForImageClassification, []),
        (t.SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4,
                      architectures=["SwinForImageClassification"]), t.SwinForImageClassification, []),
    ):
        name = f"Transformers, {wanted.__name__} {' '.join(more)}".rstrip()
        with checks.guarded(f"dumps: {name}"):
            home = folder / f"hf-{wanted.__name__}"
            config.save_pretrained(home)
            out = folder / "transformers.json"
            helper("dump_config.py", home, *more, "-o", out, cwd=folder)
            model = wanted(config).to(config.dtype) if config.dtype else wanted(config)
            model.save_pretrained(home)
            # What save_pretrained writes leaves tied weights out; what from_pretrained makes of it is the model in question.
            holds(checks, ckdiff, wanted.from_pretrained(home), out, name)


def check_timm(checks, ckdiff, folder):
    import timm

    for name, file, text, make in (
        ("config.json", "config.json",
         json.dumps({"architecture": "resnet10t", "num_classes": 5, "pretrained_cfg": {"num_classes": 1000}}),
         lambda: timm.create_model("resnet10t", num_classes=5)),
        ("config.json with model_args", "config.json",
         json.dumps({"architecture": "vit_tiny_patch16_224", "pretrained_cfg": {"num_classes": 9},
                     "model_args": {"img_size": 64, "depth": 2}}),
         lambda: timm.create_model("vit_tiny_patch16_224", num_classes=9, img_size=64, depth=2)),
        ("args.yaml", "args.yaml", "model: resnet10t\nnum_classes: 3\nin_chans: 1\ngp: null\nlr: 0.05\nmodel_kwargs: {}\n",
         lambda: timm.create_model("resnet10t", num_classes=3, in_chans=1)),
    ):
        with checks.guarded(f"dumps: timm, {name}"):
            (folder / file).write_text(text)
            out = folder / "timm.json"
            helper("dump_config.py", file, "-o", out, cwd=folder)
            holds(checks, ckdiff, make(), out, f"timm, {name}")


def check_mmengine(checks, ckdiff, folder):
    (folder / "registered.py").write_text(
        "from mmengine.model import BaseModel\nfrom mmengine.registry import MODELS\nimport project.net\n\n\n"
        "@MODELS.register_module()\nclass Wrapped(BaseModel):\n    def __init__(self, width, **more):\n"
        "        super().__init__(**more)\n        self.backbone = project.net.Net(width)\n\n"
        "    def forward(self, inputs):\n        return inputs\n")
    config = {"custom_imports": {"imports": ["registered"]}, "model": {"type": "Wrapped", "width": 6}}
    (folder / "config.py").write_text("".join(f"{k} = {v!r}\n" for k, v in config.items()))
    (folder / "mm.json").write_text(json.dumps(config))
    import registered

    for file in ("config.py", "mm.json"):
        with checks.guarded(f"dumps: MMEngine, {file}"):
            out = folder / "mmengine.json"
            helper("dump_config.py", file, "-o", out, cwd=folder)
            holds(checks, ckdiff, registered.Wrapped(6), out, f"MMEngine, {file}")
    (folder / "other.json").write_text('{"weights": 1}')
    done = helper("dump_config.py", "other.json", cwd=folder, ok=False)
    checks.equal((done.returncode, "neither a config of MMEngine" in done.stderr), (1, True), "dumps: what is no config is named")


def check_the_lines_that_are_shown(checks, ckdiff, folder):
    """What --help and README give to paste, run as it stands."""
    shown = {"--help": ckdiff._run("--help").stdout, "README": (ROOT / "README.md").read_text()}
    for where, text in shown.items():
        with checks.guarded(f"dumps: the lines of {where}"):
            found = re.search(r"^ *import json\n.*?json\.dump\([^\n]*\n", text, re.S | re.M)
            lines = textwrap.dedent(found[0])
            home = folder / where.strip("-")
            home.mkdir()
            model = nets.Detector()
            torch.save(model.state_dict(), home / "weights.pth")
            (home / "paste.py").write_text(f"import torch, nets\nmodel = nets.Detector()\n{lines}")
            subprocess.run([sys.executable, "paste.py"], cwd=home, check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "tests/interop")})
            done = ckdiff._run(home / "weights.pth", home / "expected.json")
            checks.equal((done.returncode, done.stdout), (0, ""), f"dumps: the lines of {where} write what the model expects")


def check_all(checks, ckdiff, folder):
    warnings.simplefilter("ignore")
    torch.manual_seed(3)
    with checks.guarded("dumps: classes"):
        check_classes(checks, ckdiff, folder)
    for check in (check_refusals, check_memory):
        with checks.guarded(f"dumps: {check.__name__}"):
            check(checks, folder)
    for check in (check_transformers, check_timm, check_mmengine, check_the_lines_that_are_shown):
        with checks.guarded(f"dumps: {check.__name__}"):
            check(checks, ckdiff, folder)
