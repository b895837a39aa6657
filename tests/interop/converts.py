"""`ckdiff convert` against PyTorch: what is written loads strictly, and holds exactly the numbers that it should.

Every case is a checkpoint as somebody saved it, a model that wants it otherwise, and the state_dict that has to come out,
made by hand with torch. Nothing of it is computed by ckdiff."""

import json

import re
import resource
import signal
import subprocess
import sys
import time

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from verdicts import expect


class Case:
    def __init__(self, name, model, checkpoint, state, *arguments, near=(), save=None, target=None):
        self.name, self.model, self.checkpoint, self.state = name, model, checkpoint, state
        self.arguments, self.near, self.save, self.target = arguments, set(near), save, target


def fresh(module):
    """The module's state_dict with values of its own."""
    return {
        k: torch.randn_like(v) if v.is_floating_point() else torch.randint_like(v, 0, 9)
        for k, v in module.state_dict().items()
    }


def renamed(state, *pairs):
    out = {}
    for key, value in state.items():
        for old, new in pairs:
            key = re.sub(old, new, key)
        out[key] = value
    return out


class Attention(nn.Module):
    """Queries, keys and values as one projection, or as three in the order in which Transformers registers them."""

    def __init__(self, width=8, kv=8, fused=True):
        super().__init__()
        if fused:
            self.qkv = nn.Linear(width, width + 2 * kv)
        else:
            self.k_proj, self.v_proj, self.q_proj = nn.Linear(width, kv), nn.Linear(width, kv), nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)


class Feed(nn.Module):
    """A gated feed-forward layer."""

    def __init__(self, width=8, inner=20, fused=True):
        super().__init__()
        if fused:
            self.gate_up_proj = nn.Linear(width, 2 * inner, bias=False)
        else:
            self.gate_proj, self.up_proj = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)


class Decoder(nn.Module):
    def __init__(self, depth=3, fused=True, kv=8):
        super().__init__()
        self.embed_tokens = nn.Embedding(40, 8)
        self.layers = nn.ModuleList(
            nn.ModuleDict({"self_attn": Attention(kv=kv, fused=fused), "mlp": Feed(fused=fused), "norm": nn.LayerNorm(8)})
            for _ in range(depth)
        )


def split(state, width=8, kv=8, inner=20):
    out = {}
    for key, value in state.items():
        if ".qkv." in key:
            for name, part in zip("qkv", value.split([width, kv, kv])):
                out[key.replace(".qkv.", f".{name}_proj.")] = part
        elif ".gate_up_proj." in key:
            for name, part in zip(("gate", "up"), value.split([inner, inner])):
                out[key.replace(".gate_up_proj.", f".{name}_proj.")] = part
        else:
            out[key] = value
    return out


class Experts(nn.Module):
    """A mixture of experts: one tensor an expert, or all in one."""

    def __init__(self, stacked, experts=12, width=8, inner=6):
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(2):
            layer = nn.Module()
            layer.router = nn.Linear(width, experts, bias=False)
            layer.experts = nn.Module()
            if stacked:
                layer.experts.up_proj = nn.Parameter(torch.zeros(experts, inner, width))
                layer.experts.down_proj = nn.Parameter(torch.zeros(experts, width, inner))
            else:
                for i in range(experts):
                    expert = nn.Module()
                    expert.up_proj, expert.down_proj = nn.Linear(width, inner, False), nn.Linear(inner, width, False)
                    layer.experts.add_module(str(i), expert)
            self.layers.append(layer)


def stacked(state):
    out, groups = {}, {}
    for key, value in state.items():
        found = re.fullmatch(r"(.*\.experts)\.(\d+)\.(\w+)\.weight", key)
        if found:
            groups.setdefault(f"{found[1]}.{found[3]}", {})[int(found[2])] = value
        else:
            out[key] = value
    return out | {key: torch.stack([parts[i] for i in sorted(parts)]) for key, parts in groups.items()}


class Windows(nn.Module):
    """Tables of relative positions in both layouts, and positions of patches behind a class token."""

    def __init__(self, window, side, grid, index=False):
        super().__init__()
        self.blocks = nn.ModuleList()
        for _ in range(2):
            block = nn.Module()
            block.attn = nn.Linear(6, 18)
            block.attn.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, 3))
            if index:
                block.attn.register_buffer("relative_position_index", window_index(window))
            self.blocks.append(block)
        self.mixer = nn.Linear(6, 6)
        self.mixer.attention_biases = nn.Parameter(torch.zeros(4, side * side))
        self.pos_embed = nn.Parameter(torch.zeros(1, grid * grid + 1, 6))


def window_index(window):
    coords = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    relative = (coords[:, :, None] - coords[:, None, :]).permute(1, 2, 0) + window - 1
    return relative[..., 0] * (2 * window - 1) + relative[..., 1]


def bicubic(rows, old, new):
    """(old * old, n) values as (new * new, n)."""
    grid = rows.T.reshape(1, -1, old, old)
    return F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False).flatten(2)[0].T


def grown(state, window, side, grid):
    out = {}
    for key, value in state.items():
        if key.endswith("bias_table"):
            value = bicubic(value, 2 * window[0] - 1, 2 * window[1] - 1)
        elif key.endswith("attention_biases"):
            value = bicubic(value.T, *side).T
        elif key == "pos_embed":
            value = torch.cat([value[:, :1], bicubic(value[0, 1:], *grid)[None]], 1)
        elif key.endswith("position_index"):
            value = window_index(window[1])
        out[key] = value.contiguous()
    return out


class Turned(nn.Module):
    """GPT-2's block: matrices input first, as its Conv1D keeps them, or as nn.Linear does."""

    def __init__(self, linear, width=8, depth=2):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(30, width), nn.Embedding(width, width)
        self.h = nn.ModuleList()
        shape = (lambda i, o: (o, i)) if linear else (lambda i, o: (i, o))
        for _ in range(depth):
            block = nn.Module()
            block.ln_1 = nn.LayerNorm(width)
            for module, layers in {
                "attn": {"c_attn": (width, 3 * width), "c_proj": (width, width)},
                "mlp": {"c_fc": (width, 4 * width), "c_proj": (4 * width, width)},
            }.items():
                made = nn.Module()
                for name, (i, o) in layers.items():
                    layer = nn.Module()
                    layer.weight = nn.Parameter(torch.zeros(shape(i, o)))
                    layer.bias = nn.Parameter(torch.zeros(o))
                    made.add_module(name, layer)
                block.add_module(module, made)
            self.h.append(block)


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3)
        self.depthwise = nn.Conv2d(12, 12, 3, groups=12, bias=False)
        self.head = nn.Linear(12, 7)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(50, 8)
        self.model.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.lm_head = nn.Linear(8, 50, bias=False)
        self.lm_head.weight = self.model.embed_tokens.weight


class Patches(nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.patch = nn.Linear(16, 5) if linear else nn.Conv2d(16, 5, 1)
        self.fc = nn.Linear(5, 9)


class Heads(nn.Module):
    """GPT-NeoX keeps its rows head by head: q, k and v of the first head, then of the second."""

    def __init__(self, fused, width=8):
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(2):
            layer = nn.Module()
            layer.attention = nn.Module()
            if fused:
                layer.attention.query_key_value = nn.Linear(width, 3 * width)
            else:
                for name in ("q_proj", "k_proj", "v_proj"):
                    layer.attention.add_module(name, nn.Linear(width, width))
            layer.attention.dense = nn.Linear(width, width)
            self.layers.append(layer)


def by_head(state, heads=2):
    """The parts of fused rows that stand head by head."""
    out = {}
    for key, value in state.items():
        if "query_key_value" in key:
            grouped = value.reshape(heads, 3, -1, *value.shape[1:])
            for i, name in enumerate(("q_proj", "k_proj", "v_proj")):
                out[key.replace("query_key_value", name)] = grouped[:, i].reshape(-1, *value.shape[1:])
        else:
            out[key] = value
    return out


def cases():
    fused, apart = fresh(Decoder()), fresh(Decoder(fused=False))
    plain = fresh(Decoder())
    yield Case("renamed", Decoder(), renamed(plain, (r"^layers\.", "blocks."), (r"\.mlp\.", ".feed_forward.")), plain)
    yield Case(
        "container-and-wrapper",
        Decoder(),
        {"epoch": 3, "state_dict": renamed(plain, ("^", "module.")) | {"module.extra.weight": torch.ones(3)}, "lr": 0.1},
        plain,
    )
    average = fresh(Decoder())
    training = {"model": plain, "model_ema": average, "optimizer": {"state": {}, "param_groups": []}}
    yield Case("ema", Decoder(), training, average, "--container", "model_ema")
    yield Case("split", Decoder(fused=False), fused, split(fused))
    grouped = fresh(Decoder(kv=4))
    yield Case("split-grouped-heads", Decoder(fused=False, kv=4), grouped, split(grouped, kv=4))
    yield Case("merged", Decoder(), split(fused), fused)
    yield Case("merged-grouped-heads", Decoder(kv=4), split(grouped, kv=4), grouped)
    each = fresh(Experts(False))
    yield Case("stacked", Experts(True), each, stacked(each))
    yield Case("unstacked", Experts(False), stacked(each), each)
    heads = fresh(Heads(True))
    yield Case("split-head-by-head", Heads(False), heads, by_head(heads), "--groups", "2")
    yield Case("merged-head-by-head", Heads(True), by_head(heads), heads, "--groups", "2")
    gpt = fresh(Turned(False))
    linear = {k: v.T.contiguous() if v.dim() == 2 and "w" != k[0] else v for k, v in gpt.items()}
    yield Case("transposed-with-squares", Turned(True), renamed(gpt, (r"^h\.", "transformer.h."), ("^w", "transformer.w")), linear)
    conv = fresh(Convolutions())
    flax = {
        "stem.kernel": conv["stem.weight"].permute(2, 3, 1, 0).contiguous(),
        "stem.bias": conv["stem.bias"],
        "depthwise.kernel": conv["depthwise.weight"].permute(2, 3, 0, 1).contiguous(),
        "head.kernel": conv["head.weight"].T.contiguous(),
        "head.bias": conv["head.bias"],
    }
    yield Case("kernels", Convolutions(), flax, conv)
    small = fresh(Windows(3, 4, 3))
    yield Case(
        "resized", Windows(5, 7, 5), small, grown(small, (3, 5), (4, 7), (3, 5)), "--resize",
        near={k for k in small if "bias" in k or k == "pos_embed"},
    )
    large = fresh(Windows(7, 7, 6))
    yield Case(
        "resized-smaller-half", Windows(4, 4, 3).half(), {k: v.half() for k, v in large.items()},
        {k: v.half() for k, v in grown({k: v.half().float() for k, v in large.items()}, (7, 4), (7, 4), (6, 3)).items()},
        "--resize", near={k for k in large if "bias" in k or k == "pos_embed"},
    )
    tied = fresh(Tied())
    tied["lm_head.weight"] = tied["model.embed_tokens.weight"]
    yield Case("tied", Tied(), tied, tied)
    once = {k: v for k, v in tied.items() if k != "lm_head.weight"}
    yield Case("tied-and-left-out", Tied(), renamed(once, ("^", "module.")), tied)
    square = fresh(Patches(False))
    yield Case(
        "reshaped", Patches(True), square,
        {k: v.reshape(5, 16) if v.dim() == 4 else v for k, v in square.items()},
    )
    half = {k: v.to(torch.bfloat16) for k, v in plain.items()}
    yield Case("to-bfloat16", Decoder().bfloat16(), plain, half, "--dtype", "bf16")
    yield Case("to-half", Decoder().half(), plain, {k: v.half() for k, v in plain.items()}, "--dtype", "torch.float16")
    yield Case("from-bfloat16", Decoder(), half, {k: v.float() for k, v in half.items()}, "--dtype", "f32")
    double = {k: v.double() * 1.1 for k, v in plain.items()}
    yield Case("from-double", Decoder().half(), double, {k: v.half() for k, v in double.items()}, "--dtype", "f16")
    views = {k: v.T.contiguous().T if v.dim() == 2 else v for k, v in fused.items()}
    yield Case("split-of-views", Decoder(fused=False), views, split(fused))

    def sharded(state, path):
        half = len(state) // 2
        names = list(state)
        for i, keys in enumerate((names[:half], names[half:]), 1):
            safetensors.torch.save_file({k: state[k] for k in keys}, path.with_name(f"shards-{i:05}-of-00002.safetensors"))
        index = {k: f"shards-0000{1 + (i >= half)}-of-00002.safetensors" for i, k in enumerate(names)}
        path = path.with_name("shards.safetensors.index.json")
        path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": index}))
        return path

    yield Case("sharded-in", Decoder(fused=False), fused, split(fused), save=sharded)
    yield Case("sharded-out", Decoder(fused=False), fused, split(fused), "--shard-size", "3kB")

    def legacy(state, path):
        torch.save(state, path, _use_new_zipfile_serialization=False)
        return path

    yield Case("legacy", Decoder(), renamed(plain, ("^", "model.")), plain, save=legacy)
    indexed, model = fresh(Windows(3, 4, 3, index=True)), Windows(5, 4, 3, index=True)
    yield Case(
        "resized-with-index-of-the-target", model, indexed, grown(indexed, (3, 5), (4, 4), (3, 3)), "--resize",
        near={k for k in indexed if "bias_table" in k}, target=model.state_dict(),
    )
    model = Windows(5, 4, 3, index=True)
    yield Case(
        "resized-with-index-built", model, indexed, grown(indexed, (3, 5), (4, 4), (3, 3)), "--resize",
        near={k for k in indexed if "bias_table" in k},
    )


def load(path):
    """What is in a safetensors file, or in the shards of an index beside it."""
    index = path.with_name(path.name + ".index.json")
    if not index.exists():
        return safetensors.torch.load_file(path)
    out = {}
    for name in sorted(set(json.loads(index.read_text())["weight_map"].values())):
        out |= safetensors.torch.load_file(path.with_name(name))
    return out


def convert(ckdiff, *arguments, **how):
    return subprocess.run(
        [ckdiff.binary, "convert", *map(str, arguments)], capture_output=True, text=True, timeout=120, **how
    )


def same(a, b, near):
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if near:
        wide = 1e-5 if a.dtype == torch.float32 else 2e-3
        return bool((a.double() - b.double()).abs().max() <= wide)
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return torch.equal(a.contiguous().view(whole) if a.dim() else a, b.contiguous().view(whole) if b.dim() else b)


def check_case(checks, ckdiff, folder, case):
    name = f"convert {case.name}"
    with checks.guarded(name):
        folder = folder / case.name
        folder.mkdir()
        source, target, out = folder / "source.pth", folder / "target.json", folder / "out.safetensors"
        source = case.save(case.checkpoint, source) if case.save else (torch.save(case.checkpoint, source), source)[1]
        if case.target is None:
            expect(case.model, target)
        else:
            target = folder / "target.pth"
            torch.save(case.target, target)
        done = convert(ckdiff, source, "-o", out, "--to", target, *case.arguments)
        checks.that(done.returncode == 0, f"{name}: written", done.stdout + done.stderr)
        if done.returncode:
            return
        state = load(out)
        try:
            case.model.load_state_dict(state, strict=True)
        except RuntimeError as error:
            checks.that(False, f"{name}: loads strictly", str(error)[:400])
        else:
            checks.that(True, f"{name}: loads strictly")
        checks.equal(set(state), set(case.state), f"{name}: keys")
        wrong = [k for k in case.state if k in state and not same(state[k], case.state[k], k in case.near)]
        checks.that(not wrong, f"{name}: values", f"{len(wrong)}: {wrong[:5]}")


def check_format(checks, ckdiff, folder):
    """Another format and nothing else: every dtype and layout that safetensors holds."""
    base = torch.randn(6, 10)
    state = {
        "transposed": base.t(),
        "part": base[1:4, 2:8:2],
        "expanded": torch.randn(5, 1).expand(5, 4),
        "flipped-strides": torch.randn(3, 4, 5).permute(2, 0, 1),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "bool": torch.tensor([True, False, True]),
        "complex": torch.randn(4, dtype=torch.complex64),
        "names with spaces, \"quotes\" and ü": torch.arange(4),
        "parameter": nn.Parameter(torch.randn(3)),
    }
    for dtype in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float64", "float16", "bfloat16"):
        state[dtype] = torch.arange(1, 8).to(getattr(torch, dtype))
    for dtype in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"):
        state[dtype] = torch.randn(9).to(getattr(torch, dtype))
    for how in ("zip", "legacy"):
        with checks.guarded(f"convert format {how}"):
            # The legacy stream knows no dtype that came later.
            some = state if how == "zip" else {k: v for k, v in state.items() if "float8" not in k and not k.startswith("uint") or k == "uint8"}
            path, out = folder / f"{how}.pth", folder / f"{how}.safetensors"
            torch.save(some, path, _use_new_zipfile_serialization=how == "zip")
            done = convert(ckdiff, path, "-o", out)
            checks.that(done.returncode == 0, f"convert format {how}", done.stdout + done.stderr)
            read = safetensors.torch.load_file(out)
            checks.equal(set(read), set(some), f"convert format {how}: keys")
            wrong = []
            for key, value in some.items():
                a, b = read[key].contiguous(), value.detach().contiguous()
                bytes_of = lambda t: t.reshape(-1).view(torch.uint8) if t.numel() else t
                if a.dtype != b.dtype or a.shape != b.shape or not torch.equal(bytes_of(a), bytes_of(b)):
                    wrong.append(key)
            checks.equal(wrong, [], f"convert format {how}: values")
            with safetensors.safe_open(out, "pt") as file:
                said = file.metadata()
            checks.equal((said["format"], said["ckdiff.source"]), ("pt", f"{how}.pth"), f"convert format {how}: provenance")
            again = folder / f"{how}-again.safetensors"
            convert(ckdiff, path, "-o", again)
            checks.that(out.read_bytes() == again.read_bytes(), f"convert format {how}: the same bytes again")
            mode, plain = out.stat().st_mode, path.stat().st_mode
            checks.equal(mode, plain, f"convert format {how}: may be read as any other file")
    with checks.guarded("convert keeps metadata"):
        path, out = folder / "said.safetensors", folder / "said-too.safetensors"
        safetensors.torch.save_file({"a": torch.ones(2)}, path, {"format": "pt", "licence": "MIT", "ü": "\n"})
        convert(ckdiff, path, "-o", out)
        with safetensors.safe_open(out, "pt") as file:
            said = file.metadata()
        checks.equal((said.get("licence"), said.get("ü")), ("MIT", "\n"), "convert keeps metadata")
    with checks.guarded("convert refuses what safetensors cannot hold"):
        path = folder / "double.pth"
        torch.save({"spectrum": torch.zeros(2, dtype=torch.complex128), "ok": torch.ones(1)}, path)
        done = convert(ckdiff, path, "-o", folder / "double.safetensors")
        says = "spectrum" in done.stderr and "C128" in done.stderr and "view_as_real" in done.stderr
        checks.that(done.returncode == 2 and says, "convert names what safetensors cannot hold", done.stderr)
        checks.that(not (folder / "double.safetensors").exists(), "convert writes nothing it cannot finish")


def check_renames(checks, ckdiff, folder):
    with checks.guarded("convert --renames"):
        state = fresh(Decoder())
        source, target = folder / "a.pth", folder / "b.json"
        torch.save({"model": renamed(state, ("^", "module."))}, source)
        expect(Decoder(), target)
        emitted = subprocess.run([ckdiff.binary, source, target, "--emit", "json"], capture_output=True, text=True)
        (folder / "renames.json").write_text(emitted.stdout)
        done = convert(ckdiff, source, "-o", folder / "b.safetensors", "--renames", folder / "renames.json")
        checks.that(done.returncode == 0, "convert --renames", done.stderr)
        read = safetensors.torch.load_file(folder / "b.safetensors")
        checks.that(read.keys() == state.keys() and all(torch.equal(read[k], state[k]) for k in state), "convert --renames: values")


def check_refusals(checks, ckdiff, folder):
    """What cannot load is not written, unless what loads of it is asked for."""
    with checks.guarded("convert refuses"):
        state = fresh(Decoder())
        del state["layers.1.norm.weight"]
        source, target, out = folder / "lacks.pth", folder / "wants.json", folder / "out.safetensors"
        torch.save(state, source)
        expect(Decoder(), target)
        done = convert(ckdiff, source, "-o", out, "--to", target)
        checks.that(done.returncode == 1 and not out.exists(), "convert refuses what would not load", done.stdout)
        checks.that("layers.1.norm.weight" in done.stdout and "--partial" in done.stdout, "convert says why", done.stdout)
        done = convert(ckdiff, source, "-o", out, "--to", target, "--partial")
        checks.equal((done.returncode, set(load(out))), (0, set(state)), "convert --partial")
        done = convert(ckdiff, source, "-o", out, "--to", target, "--partial")
        checks.that(done.returncode == 2 and "--force" in done.stderr, "convert does not overwrite", done.stderr)
        before = source.read_bytes()
        done = convert(ckdiff, source, "-o", source, "--force")
        checks.that(done.returncode == 2 and source.read_bytes() == before, "convert spares its input", done.stderr)
        heads = folder / "heads.pth"
        torch.save(fresh(Heads(True)), heads)
        expect(Heads(False), target)
        done = convert(ckdiff, heads, "-o", folder / "heads.safetensors", "--to", target)
        checks.that(done.returncode != 0 and "--groups" in done.stdout + done.stderr, "convert does not guess the order of heads", done.stderr)


def check_interruption(checks, ckdiff, folder):
    """A process that is killed, or that meets a full disk, leaves what was there."""
    source, out = folder / "large.pth", folder / "large.safetensors"
    with torch.serialization.skip_data():
        # A hole of 6 GB: it takes no room, and some time to copy. Strides keep it from being copied by the kernel alone.
        torch.save({"w": torch.empty(50_000, 30_000)[:, :29_999]}, source)
    with checks.guarded("convert killed"):
        out.write_bytes(b"before")
        process = subprocess.Popen([ckdiff.binary, "convert", source, "-o", out, "--force"], stdout=subprocess.DEVNULL)
        parts = []
        for _ in range(400):
            time.sleep(0.01)
            parts = [p for p in folder.iterdir() if p.name.endswith(".part")]
            if parts and parts[0].stat().st_size > 1 << 20:
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        checks.that(process.returncode == -signal.SIGKILL and parts, "convert is killed while it writes")
        checks.equal(out.read_bytes(), b"before", "convert killed: the file is as it was")
        for part in parts:
            checks.that(part.name == f"large.safetensors.{process.pid}.part", "convert killed: what is left tells what it is")
        small = folder / "small.pth"
        torch.save({"w": torch.ones(3)}, small)
        done = convert(ckdiff, small, "-o", out, "--force")
        checks.that(done.returncode == 0 and ".part" in done.stdout, "convert names what a killed run left", done.stdout)
        for part in parts:
            part.unlink()
    if sys.platform != "linux":
        return
    with checks.guarded("convert on a full disk"):
        out.write_bytes(b"before")

        def little_room():
            # A file may not grow beyond a megabyte: the nearest to a full disk that needs no privileges.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

        done = convert(ckdiff, source, "-o", out, "--force", preexec_fn=little_room)
        checks.that(done.returncode == 2 and "larger than the system allows" in done.stderr, "convert says that there is no room", done.stderr)
        checks.equal(out.read_bytes(), b"before", "convert without room: the file is as it was")
        left = [p.name for p in folder.iterdir() if p.name.endswith(".part")]
        checks.equal(left, [], "convert without room: nothing is left behind")


def check_memory(checks, ckdiff, folder):
    """A file of 3 GB in tensors of 30 MB: no more than one of them is in memory."""
    source = folder / "memory.pth"
    state = {}
    with torch.serialization.skip_data():
        for i in range(100):
            state[f"layers.{i}.weight"] = torch.empty(3_000, 2_500)[:, :2_499]
        torch.save(state, source)
    with checks.guarded("convert memory"):
        script = (
            "import os, sys\n"
            "child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)\n"
            "_, status, usage = os.wait4(child, 0)\n"
            "print(usage.ru_maxrss // 1024, os.waitstatus_to_exitcode(status))\n"
        )
        out = folder / "memory.safetensors"
        command = [sys.executable, "-I", "-S", "-c", script, ckdiff.binary, "convert", "-q", source, "-o", out]
        done = subprocess.run(command, capture_output=True, text=True)
        out.unlink(missing_ok=True)
        megabytes, status = map(int, done.stdout.split()[-2:])
        checks.that(status == 0 and megabytes < 64 + 30, "convert holds 64 MB and the largest tensor at most", f"{megabytes} MB")


def check_all(checks, ckdiff, folder):
    for case in cases():
        check_case(checks, ckdiff, folder, case)
    for part in (check_format, check_renames, check_refusals, check_interruption, check_memory):
        with checks.guarded(part.__name__):
            inner = folder / part.__name__
            inner.mkdir()
            part(checks, ckdiff, inner)


