"""The fixes to paste, run as they are: after each, the model holds what the verdict promised.

Transformers and MMEngine load them in `libraries.py`. vLLM is too large to install (it brings its own PyTorch and CUDA
kernels), so its `WeightsMapper`, a small class without dependencies, is a stand-in that does what the library documents.
"""

import contextlib
import io
import re
import subprocess
import sys
import types

import torch
from safetensors.torch import load_file
from torch import nn

import nets
from verdicts import expect


class Attention(nn.Module):
    """One projection for query, key and value, or three; a table of relative positions."""

    def __init__(self, width=8, fused=True, window=3, heads=2):
        super().__init__()
        if fused:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.relative_position_bias_table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads))
        self.proj = nn.Linear(width, width)


class Tower(nn.Module):
    """Some blocks of attention under a name."""

    def __init__(self, name, depth=2, **how):
        super().__init__()
        setattr(self, name, nn.ModuleList(Attention(**how) for _ in range(depth)))


class Positions(nn.Module):
    """A class token's position before a grid of patches."""

    def __init__(self, side):
        super().__init__()
        self.pos_embed = nn.Parameter(torch.randn(1, side * side + 1, 6))
        self.fc = nn.Linear(6, 6)


def stand_ins():
    """Modules that do what the real ones document of the calls in the snippets."""
    modules = {}

    class WeightsMapper:
        """Prefixes and patterns in order; what becomes None is left out."""

        def __init__(self, orig_to_new_prefix=None, orig_to_new_regex=None):
            self.prefixes, self.patterns = orig_to_new_prefix or {}, orig_to_new_regex or {}

        def name(self, key):
            for pattern, new in self.patterns.items():
                if pattern.search(key):
                    if new is None:
                        return None
                    key = pattern.sub(new, key)
            for prefix, new in self.prefixes.items():
                if key.startswith(prefix):
                    if new is None:
                        return None
                    key = key.replace(prefix, new, 1)
            return key

    for name in ("vllm", "vllm.model_executor", "vllm.model_executor.models", "vllm.model_executor.models.utils"):
        modules[name] = types.ModuleType(name)
    modules["vllm.model_executor.models.utils"].WeightsMapper = WeightsMapper

    return modules


class Layers(nn.Module):
    """Blocks whose projections of attention are square."""

    def __init__(self, width=4):
        super().__init__()

        def block():
            out = nn.Module()
            out.self_attn, out.mlp = nn.Module(), nn.Module()
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                setattr(out.self_attn, name, nn.Linear(width, width))
            out.mlp.fc1, out.mlp.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            return out

        self.layers = nn.ModuleList(block() for _ in range(2))


class Pair:
    """A checkpoint and the model that it is for."""

    def __init__(self, checks, ckdiff, folder, name, model, checkpoint, state):
        self.checks, self.ckdiff, self.name, self.model, self.state = checks, ckdiff, name, model, state
        self.source, self.target = folder.resolve() / f"{name}.pth", folder.resolve() / f"{name}.json"
        torch.save(checkpoint, self.source)
        expect(model, self.target)
        _, self.report = ckdiff.verdict(self.source, self.target)
        self.wanted = {m["target"] for m in self.report["matches"] if m["shapes"] != "different"}

    def snippet(self, form):
        done = subprocess.run(
            [self.ckdiff.binary, str(self.source), str(self.target), "--emit", form], capture_output=True, text=True, timeout=60
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def run(self, form):
        space = {"model": self.model}
        # Some snippets write a file beside them.
        with contextlib.chdir(self.source.parent), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(self.snippet(form), f"{self.name}.{form}", "exec"), space)
        return space

    def fresh(self):
        """The model's keys whose values are not what they were before."""
        return {k for k, v in self.model.state_dict().items() if not torch.equal(v, self.before[k])}

    def check(self, form):
        checks, name = self.checks, f"emit {form} of {self.name}"
        with checks.guarded(name):
            # Values that no checkpoint holds, to see which keys were filled.
            for value in self.model.state_dict().values():
                value.fill_(77)
            self.before = {k: v.clone() for k, v in self.model.state_dict().items()}
            if form in ("python", "mmengine"):
                self.run(form)
                checks.equal(self.fresh(), self.wanted if form == "python" else self.renamed(), name)
                if form == "python":
                    self.same_as_converted(name)
            elif form == "vllm":
                mapper = self.run(form)["hf_to_vllm_mapper"]
                names = {mapper.name(k) for k in self.state} - {None}
                checks.equal(names & self.model.state_dict().keys(), self.renamed(same_shape=False), name)
            elif form == "burn":
                rules = re.findall(r'\.with_key_remapping\(r?("(?:[^"\\]|\\.)*"), r?("(?:[^"\\]|\\.)*")\)', self.snippet(form))
                names = set()
                for key in self.state:
                    for pattern, new in rules:
                        new = re.sub(r"\$\{(\d+)\}", r"\\\1", new[1:-1])
                        key = re.sub(pattern[1:-1], new, key)
                    names.add(key)
                checks.equal(names & self.model.state_dict().keys(), self.renamed(same_shape=False), name)

    def same_as_converted(self, name):
        """What the snippet has filled holds the very numbers that a conversion writes."""
        out = self.source.with_suffix(".safetensors")
        arguments = ["convert", str(self.source), "--to", str(self.target), "-o", str(out), "--resize", "--partial", "--force"]
        done = subprocess.run([self.ckdiff.binary, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        written, filled = load_file(out), self.model.state_dict()
        for key in sorted(self.wanted & written.keys()):
            near = torch.allclose(filled[key], written[key], atol=1e-5)
            self.checks.equal(near, True, f"{name}: the numbers of {key}")

    def renamed(self, same_shape=True):
        """What a rename alone fills: no split, join, turn or resize."""
        plain = {"identical", "renamed"}
        return {
            m["target"]
            for m in self.report["matches"]
            if m["how"] in plain and (m["shapes"] == "equal" or not same_shape)
        }


FORMS = ("python", "mmengine", "vllm", "burn")


def check_all(checks, ckdiff, folder):
    before = {name: sys.modules.get(name) for name in stand_ins()}
    sys.modules.update(stand_ins())
    try:
        for name, model, checkpoint, state, forms in pairs():
            pair = Pair(checks, ckdiff, folder, name, model, checkpoint, state)
            for form in forms:
                pair.check(form)
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def pairs():
    def state_of(module):
        return {k: v.clone() for k, v in module.state_dict().items()}

    def wrapped(state, prefix):
        return {prefix + k: v for k, v in state.items()}

    ddp = wrapped(state_of(nets.Backbone()), "module.")
    yield "data-parallel", nets.Backbone(), ddp, ddp, FORMS
    compiled = wrapped(state_of(nets.Backbone()), "module._orig_mod.")
    yield "compiled", nets.Backbone(), {"model": compiled, "epoch": 3}, compiled, ("python", "mmengine", "vllm", "burn")
    detector = state_of(nets.Detector())
    yield "detector", nets.Backbone(), {"state_dict": detector, "epoch": 3}, detector, FORMS
    plain = state_of(nets.Backbone())
    yield "backbone-given", nets.Detector(), plain, plain, FORMS
    head = state_of(nets.Classifier(1000))
    yield "classes", nets.Classifier(10), head, head, ("python", "mmengine", "burn")
    window = state_of(Tower("blocks", window=3))
    yield "window", Tower("blocks", window=5), window, window, ("python")
    grid = state_of(Positions(4))
    yield "token-grid", Positions(6), grid, grid, ("python",)
    renamed = {k.replace("blocks.", "layers."): v for k, v in state_of(Tower("blocks")).items()}
    yield "renamed", Tower("blocks"), renamed, renamed, FORMS
    tricky = wrapped(state_of(nets.Backbone()), 'a"\\\n#.')
    yield "quotes-in-names", nets.Backbone(), tricky, tricky, ("python", "mmengine", "vllm")
    fused = state_of(Tower("blocks", fused=True))
    yield "split", Tower("blocks", fused=False), fused, fused, ("python",)
    torch.manual_seed(5)
    conv1d = {}
    for i in range(2):
        shapes = {"attn.c_attn": (4, 12), "attn.c_proj": (4, 4), "mlp.c_fc": (4, 16), "mlp.c_proj": (16, 4)}
        for module, shape in shapes.items():
            conv1d[f"h.{i}.{module}.weight"] = torch.randn(shape)
            conv1d[f"h.{i}.{module}.bias"] = torch.randn(shape[1])
    yield "square-conv1d", Layers(), conv1d, conv1d, ("python",)
    flax = {}
    for i in range(2):
        block = f"encoder/encoderblock_{i}"
        for module in ("query", "key", "value"):
            flax[f"{block}/MultiHeadDotProductAttention_0/{module}/kernel"] = torch.randn(4, 2, 2)
            flax[f"{block}/MultiHeadDotProductAttention_0/{module}/bias"] = torch.randn(2, 2)
        flax[f"{block}/MultiHeadDotProductAttention_0/out/kernel"] = torch.randn(2, 2, 4)
        flax[f"{block}/MultiHeadDotProductAttention_0/out/bias"] = torch.randn(4)
        for module, shape in {"Dense_0": (4, 16), "Dense_1": (16, 4)}.items():
            flax[f"{block}/MlpBlock_0/{module}/kernel"] = torch.randn(shape)
            flax[f"{block}/MlpBlock_0/{module}/bias"] = torch.randn(shape[1])
    yield "flax-heads", Layers(), flax, flax, ("python",)
    apart = state_of(Tower("blocks", fused=False))
    yield "joined", Tower("blocks", fused=True), apart, apart, ("python",)
