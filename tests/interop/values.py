"""Values: what ckdiff reads out of files, and how far it says they are apart, against PyTorch's own numbers."""

import io
import json
import math
import zipfile

import safetensors.torch
import torch

FLOATS = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]
WHOLE = ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]


def make(dtype, *shape, seed=0):
    """Values of a dtype, some of them subnormal, zero and negative."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64) * 0.05
    if dtype in WHOLE:
        x = (x * 1000).round()
        x = x.abs() if dtype.startswith("u") else x
        return (x > 10) if dtype == "bool" else x.clamp(-120, 250).to(torch.int64).to(getattr(torch, dtype))
    return x.to(getattr(torch, dtype))


def wide(x):
    """Exactly the same numbers as doubles."""
    return x.to(torch.float32).double() if x.dtype.is_floating_point and x.dtype != torch.float64 else x.double()


def expected(a, b):
    """The figures of a pair, by PyTorch in double precision."""
    a, b = wide(a).flatten(), wide(b).flatten()
    fine = torch.isfinite(a) & torch.isfinite(b)
    nan = [int(x.isnan().sum()) for x in (a, b)]
    inf = [int(x.isinf().sum()) for x in (a, b)]
    a, b = a[fine], b[fine]
    d = (a - b).abs()
    larger = torch.maximum(a.abs(), b.abs())
    rel = torch.where(larger > 0, d / larger, torch.zeros_like(d))
    return {
        "elements": int(fine.sum()),
        "max_abs": d.max().item(),
        "max_rel": rel.max().item(),
        "rms": d.square().mean().sqrt().item(),
        "moved": (d.square().sum() / b.square().sum()).sqrt().item() if b.any() else None,
        "cosine": (a.dot(b) / (a.norm() * b.norm())).item() if a.any() and b.any() else None,
        "nan": nan,
        "inf": inf,
    }


def near(ours, theirs):
    if isinstance(theirs, float) and isinstance(ours, (int, float)):
        return math.isclose(ours, theirs, rel_tol=2e-5, abs_tol=1e-12)
    return ours == theirs


def compare(checks, name, ours, a, b):
    theirs = expected(a, b)
    wrong = {k: (ours.get(k), v) for k, v in theirs.items() if not near(ours.get(k), v)}
    checks.that(not wrong, f"values: {name}", str(wrong))


def by_target(report):
    return {v["target"]: v for v in report["values"]}


def every_dtype(checks, ckdiff, folder):
    """Two sets of values in every dtype, .pt against safetensors, strided against contiguous."""
    for dtype in FLOATS + WHOLE:
        with checks.guarded(f"values: {dtype}"):
            a = {"x": make(dtype, 37, 83), "t": make(dtype, 64, 48, seed=1).t(), "same": make(dtype, 500, seed=2)}
            b = {"x": make(dtype, 37, 83, seed=3), "t": make(dtype, 48, 64, seed=4), "same": a["same"].clone()}
            source, target = folder / f"{dtype}.pt", folder / f"{dtype}.safetensors"
            torch.save(a, source)
            safetensors.torch.save_file(b, target)
            _, report = ckdiff.verdict(source, target, "--values")
            found = by_target(report)
            for key in ("x", "t"):
                compare(checks, f"{dtype} {key}", found[key], a[key], b[key])
            checks.equal(found["same"]["same"], "identical", f"values: {dtype} same")
            checks.equal(found["x"]["same"], "changed", f"values: {dtype} changed")


def special(checks, ckdiff, folder):
    """NaN and infinities, and numbers whose squares leave single precision."""
    for dtype in ["float32", "float16", "bfloat16", "float8_e5m2", "float64"]:
        with checks.guarded(f"values: special {dtype}"):
            a, b = make(dtype, 5000), make(dtype, 5000, seed=1)
            for i, x in ((3, math.nan), (1200, math.inf), (4999, -math.inf)):
                a[i] = x
            b[4999] = -math.inf
            torch.save({"x": a}, folder / "a.pt")
            torch.save({"x": b}, folder / "b.pt")
            _, report = ckdiff.verdict(folder / "a.pt", folder / "b.pt", "--values")
            compare(checks, f"special {dtype}", by_target(report)["x"], a, b)
            codes = {f["code"] for f in report["findings"]}
            checks.that("CK604" in codes, f"values: NaN of {dtype} is reported", str(codes))
    for scale in (1e-25, 1e25):
        a, b = make("float32", 3000) * scale, make("float32", 3000, seed=1) * scale
        torch.save({"x": a}, folder / "a.pt")
        torch.save({"x": b}, folder / "b.pt")
        _, report = ckdiff.verdict(folder / "a.pt", folder / "b.pt", "--values")
        compare(checks, f"scaled by {scale}", by_target(report)["x"], a, b)


def conversions(checks, ckdiff, folder):
    """A checkpoint against itself in a narrower dtype, as `Tensor.to` rounds."""
    whole = {"w": make("float32", 300, 70), "big": make("float32", 99) * 1e6}
    whole["w"][0, :4] = torch.tensor([1e-7, -3e-8, 65519.0, 2.0**-24])
    for dtype in FLOATS[2:]:
        with checks.guarded(f"values: to {dtype}"):
            torch.save(whole, folder / "wide.pt")
            safetensors.torch.save_file({k: v.to(getattr(torch, dtype)) for k, v in whole.items()}, folder / "n.safetensors")
            for pair in ((folder / "wide.pt", folder / "n.safetensors"), (folder / "n.safetensors", folder / "wide.pt")):
                _, report = ckdiff.verdict(*pair, "--values")
                checks.equal({v["same"] for v in report["values"]}, {"equal"}, f"values: float32 and {dtype}")
                status, _ = ckdiff.verdict(*pair, "--values=exact")
                checks.equal(status, 1, f"values: exact, float32 and {dtype}")


def rearranged(checks, ckdiff, folder):
    """Renamed, split, joined and turned tensors, with the numbers that PyTorch's slices have."""
    with checks.guarded("values: rearranged"):
        d, blocks = 16, 3
        fused, apart = {}, {}
        for i in range(blocks):
            parts = [make("float32", d, d, seed=10 * i + j) for j in range(3)]
            fused[f"h.{i}.attn.qkv.weight"] = torch.cat(parts)
            for name, part in zip(("q_proj", "k_proj", "v_proj"), parts):
                apart[f"layers.{i}.attn.{name}.weight"] = part.clone()
            fc1, fc2 = make("float32", 4 * d, d, seed=10 * i + 5), make("float32", d, 4 * d, seed=10 * i + 6)
            fused[f"h.{i}.mlp.fc1.weight"], apart[f"layers.{i}.mlp.fc1.weight"] = fc1, fc1.clone()
            fused[f"h.{i}.mlp.fc2.weight"], apart[f"layers.{i}.mlp.fc2.weight"] = fc2, fc2.clone()
        torch.save(fused, folder / "fused.pt")
        safetensors.torch.save_file(apart, folder / "apart.safetensors")
        for pair in ((folder / "fused.pt", folder / "apart.safetensors"), (folder / "apart.safetensors", folder / "fused.pt")):
            status, report = ckdiff.verdict(*pair, "--values=exact", "--level", "fixable")
            same = [v["same"] for v in report["values"]]
            checks.that(status == 0 and same and set(same) == {"identical"}, "values: split and merged", str(report["values"])[:300])
        moved = {k: v.clone() for k, v in apart.items()}
        moved["layers.1.attn.k_proj.weight"][3, 5] += 0.5
        safetensors.torch.save_file(moved, folder / "moved.safetensors")
        _, report = ckdiff.verdict(folder / "fused.pt", folder / "moved.safetensors", "--values")
        found = by_target(report)
        key = "layers.1.attn.k_proj.weight"
        compare(checks, "split", found[key], fused["h.1.attn.qkv.weight"][d : 2 * d], moved[key])
        rows = report["values_summary"]["untouched"]
        checks.equal([(r["blocks"], r["untouched"], r["changed"]) for r in rows], [("layers", [0, 2], [1])], "values: blocks")
    with checks.guarded("values: turned"):
        conv1d, linear = {}, {}
        for i in range(3):
            w = make("float32", 8, 24, seed=i)
            conv1d[f"h.{i}.mlp.c_fc.weight"], linear[f"h.{i}.mlp.c_fc.weight"] = w, w.t().contiguous()
        torch.save(conv1d, folder / "conv1d.pt")
        torch.save(linear, folder / "linear.pt")
        status, report = ckdiff.verdict(folder / "conv1d.pt", folder / "linear.pt", "--values=exact", "--level", "fixable")
        same = {v["same"] for v in report["values"]}
        checks.that(same == {"identical"}, "values: turned", str(report["values"])[:300])


def by_content(checks, ckdiff, folder):
    """Two towers of one shape whose names say nothing: equal bytes tell them apart."""
    with checks.guarded("values: by content"):
        source, target = {}, {}
        for i, (old, new) in enumerate((("net_a", "second"), ("net_b", "first"))):
            for j in range(4):
                w = make("float32", 12, 12, seed=100 * i + j)
                source[f"{old}.{j}.weight"], target[f"{new}.{j}.weight"] = w, w.clone()
                source[f"{old}.{j}.bias"], target[f"{new}.{j}.bias"] = torch.zeros(12), torch.zeros(12)
        torch.save(source, folder / "two.pt")
        safetensors.torch.save_file(target, folder / "towers.safetensors")
        status, report = ckdiff.verdict(folder / "two.pt", folder / "towers.safetensors", "--values", "--level", "fixable")
        wrong = [v for v in report["values"] if not torch.equal(source[v["source"][0]], target[v["target"]])]
        weights = [m for m in report["matches"] if m["target"].endswith("weight")]
        checks.that(not wrong and len(weights) == 8, "values: two towers by content", f"{wrong[:2]} {len(weights)}")


def digests(checks, ckdiff, folder):
    """Digests do not depend on format, strides or sharding, and compare without the data."""
    with checks.guarded("values: digests"):
        state = {f"m.{d}": make(d, 24, 18, seed=i) for i, d in enumerate(FLOATS + WHOLE)}
        state["m.turned"] = make("float32", 30, 20).t()
        names = sorted(state)
        torch.save(state, folder / "all.pt")
        for n, part in enumerate((names[:7], names[7:])):
            shard = {k: state[k].contiguous() for k in part}
            safetensors.torch.save_file(shard, folder / f"m-0000{n + 1}-of-00002.safetensors")
            ckdiff._run("snapshot", folder / f"m-0000{n + 1}-of-00002.safetensors", "--digest", "-o", folder / f"{n}.json")
        ckdiff._run("snapshot", folder / "0.json", folder / "1.json", "-o", folder / "merged.json")
        ckdiff._run("snapshot", folder / "all.pt", "--digest", "-o", folder / "all.json")
        ours, merged = (json.loads((folder / n).read_text()) for n in ("all.json", "merged.json"))
        checks.equal(merged, ours, "values: digests of shards and of the whole")
        status, report = ckdiff.verdict(folder / "all.json", folder / "merged.json", "--values=exact")
        checks.equal((status, report["values_summary"]["identical"]), (0, len(state)), "values: digests compare")
        for key, value in state.items():
            x, said = wide(value).flatten(), ours[key]["values"]
            theirs = {"min": x.min().item(), "max": x.max().item(), "mean": x.mean().item(), "rms": x.square().mean().sqrt().item()}
            wrong = {k: (said[k], v) for k, v in theirs.items() if not math.isclose(said[k], v, rel_tol=1e-9, abs_tol=1e-12)}
            checks.that(not wrong, f"values: summary of {key}", str(wrong))
        state["m.float32"][0, 0] += 1
        torch.save(state, folder / "changed.pt")
        status, report = ckdiff.verdict(folder / "changed.pt", folder / "merged.json", "--values=exact")
        changed = [v["target"] for v in report["values"] if v["same"] == "changed"]
        checks.equal((status, changed), (1, ["m.float32"]), "values: a file against digests")


def containers(checks, ckdiff, folder):
    """Legacy streams and deflated archives hold the same bytes."""
    with checks.guarded("values: containers"):
        state = {d: make(d, 40, 30, seed=i) for i, d in enumerate(FLOATS[:4] + WHOLE[:6])}
        state["view"] = state["float32"][3:9, ::2]
        torch.save(state, folder / "new.pt")
        torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
        packed = io.BytesIO()
        with zipfile.ZipFile(folder / "new.pt") as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
        (folder / "packed.pt").write_bytes(packed.getvalue())
        plain = {k: v.clone(memory_format=torch.contiguous_format) for k, v in state.items()}
        safetensors.torch.save_file(plain, folder / "plain.safetensors")
        for name in ("new", "old", "packed"):
            status, report = ckdiff.verdict(folder / f"{name}.pt", folder / "plain.safetensors", "--values=exact")
            checks.equal((status, report["values_summary"]["identical"]), (0, len(state)), f"values: {name}")


def check_all(checks, ckdiff, folder):
    for part in (every_dtype, special, conversions, rearranged, by_content, digests, containers):
        place = folder / part.__name__
        place.mkdir()
        part(checks, ckdiff, place)
