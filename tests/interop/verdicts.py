"""The verdict against the judge itself: `load_state_dict(strict=True)` of real modules."""

import copy
import json
import random
import re
from collections import OrderedDict

import safetensors.torch
import torch
from torch import nn

import nets
import truth


def expect(model, path):
    """expected.json, as the README tells people to write it."""
    keys = {k: {"dtype": str(v.dtype), "shape": list(v.shape)} for k, v in model.state_dict().items()}
    path.write_text(json.dumps(keys))


def loads(model, state):
    """What PyTorch says: None, or its error."""
    try:
        copy.deepcopy(model).load_state_dict(state, strict=True)
    except RuntimeError as error:
        return str(error)
    return None


def at(checkpoint, name):
    """The dict called `name` in a checkpoint; dots lead further in, an empty name is the checkpoint itself."""
    for part in filter(None, (name or "").split(".")):
        checkpoint = checkpoint[part]
    return checkpoint


def mended(state, report):
    """Renames and drops of the report, applied as its contract says: `re.sub`, in order, on every source key."""
    out = OrderedDict()
    for key, value in state.items():
        if any(re.search(drop["pattern"], key) for drop in report["drops"]):
            continue
        for rename in report["renames"]:
            key = re.sub(rename["pattern"], rename["replacement"], key)
        assert key not in out, f"two keys become {key}"
        out[key] = value
    return out


def completed(after, report, model):
    """What the other edits of the report make: tied weights copied, buffers that the model builds left as the model has them.

    Returns the state_dict and how many keys were filled in."""
    out, wanted, buffers = OrderedDict(after), model.state_dict(), dict(model.named_buffers())
    filled = 0
    for finding in report["findings"]:
        if finding["code"] == "CK403":
            for key in finding["examples"]:
                out[key] = out[finding["arguments"]["holder"]]
                filled += 1
    if any(finding["code"] in ("CK401", "CK402") for finding in report["findings"]):
        for key, value in wanted.items():
            if key in buffers and (key not in out or out[key].shape != value.shape):
                out[key] = value
                filled += 1
    return out, filled


class Judge:
    def __init__(self, checks, ckdiff, folder):
        self.checks, self.ckdiff, self.folder = checks, ckdiff, folder
        self.count = 0

    def compare(self, name, model, checkpoint, verdict=None, kind="pth", refused=False):
        """Saves `checkpoint`, asks ckdiff about it and `model`, and holds every claim against PyTorch.

        `refused`: PyTorch would load it once keys are dropped, and ckdiff is right not to call that a fix."""
        checks = self.checks
        self.count += 1
        source, target = self.folder / f"v{self.count}.{kind}", self.folder / f"v{self.count}.json"
        with checks.guarded(name):
            if kind == "safetensors":
                safetensors.torch.save_file(checkpoint, source)
                checkpoint = safetensors.torch.load_file(source)
            else:
                torch.save(checkpoint, source)
                checkpoint = torch.load(source, weights_only=False)
            expect(model, target)
            status, report = self.ckdiff.verdict(source, target)
            state = at(checkpoint, report["source"]["container"])
            wanted = model.state_dict()

            if state is checkpoint or report["source"]["container"] in (None, ""):
                as_it_is = loads(model, state)
                checks.equal(status == 0, as_it_is is None, f"{name}: exit status 0 means that it loads as it is")
                checks.equal(report["verdict"] == "loads", as_it_is is None, f"{name}: verdict `loads`")
            before = sum(k in state and state[k].shape == v.shape for k, v in wanted.items())
            checks.equal(report["coverage"]["before"], before, f"{name}: coverage before")
            checks.equal(report["coverage"]["of"], len(wanted), f"{name}: number of keys")

            after, filled = completed(mended(state, report), report, model)
            error = loads(model, after)
            promised = report["verdict"] in ("loads", "loads-after-fix")
            if not refused:
                checks.equal(promised, error is None, f"{name}: renames and drops make it load ({(error or '')[:200]})")
            fits = sum(k in after and after[k].shape == v.shape for k, v in wanted.items())
            checks.equal(report["coverage"]["after"] + filled, fits, f"{name}: coverage after")
            level, _ = self.ckdiff.verdict(source, target, "--level", "fixable")
            checks.equal(level == 0, promised, f"{name}: exit status at level fixable")
            if verdict:
                checks.equal(report["verdict"], verdict, f"{name}: verdict")
            return report
        return None


def distributed_state(model):
    """The state_dict of a real DistributedDataParallel, in a group of one process."""
    import os

    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        return nn.parallel.DistributedDataParallel(model).state_dict()
    finally:
        torch.distributed.destroy_process_group()


def check_wrappers(judge):
    net = nets.Classifier()
    state = net.state_dict()
    judge.compare("the same model", net, state, "loads")
    fixed = "loads-after-fix"
    judge.compare("DataParallel", net, nn.DataParallel(net).state_dict(), fixed)
    judge.compare("DistributedDataParallel", net, distributed_state(net), fixed)
    judge.compare("torch.compile", net, torch.compile(net).state_dict(), fixed)
    judge.compare("compiled, then DistributedDataParallel", net, distributed_state(torch.compile(net)), fixed)
    part = nets.Classifier()
    part.backbone = torch.compile(part.backbone)
    judge.compare("one compiled submodule", net, part.state_dict(), fixed)
    judge.compare("a compiled target", torch.compile(net), state, fixed)
    judge.compare("a DataParallel target", nn.DataParallel(net), state, fixed)
    checkpointed = nets.Classifier()
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    checkpointed.backbone.layers = checkpoint_wrapper(checkpointed.backbone.layers)
    judge.compare("activation checkpointing, whose hooks take the wrapper off", net, checkpointed.state_dict(), "loads")
    raw = OrderedDict((k.replace("layers.", "layers._checkpoint_wrapped_module."), v) for k, v in state.items())
    judge.compare("activation checkpointing, saved without the hooks", net, raw, fixed)


def check_prefixes(judge):
    detector, backbone = nets.Detector(), nets.Backbone()
    judge.compare("a detector into its backbone", backbone, detector.state_dict(), "loads-after-fix")
    judge.compare("a backbone into its detector", detector, backbone.state_dict(), "does-not-load")
    lightning = {"state_dict": {f"model.{k}": v for k, v in backbone.state_dict().items()}, "pytorch-lightning_version": "2.1"}
    judge.compare("a Lightning checkpoint", backbone, lightning, "loads-after-fix")
    judge.compare("a training checkpoint", backbone, {"model": backbone.state_dict(), "epoch": 3})
    renamed = OrderedDict((k.replace("layers.", "blocks."), v) for k, v in backbone.state_dict().items())
    judge.compare("a renamed submodule", backbone, renamed, "loads-after-fix")


def check_what_is_missing(judge):
    net = nets.Classifier()
    state = net.state_dict()
    no_head = OrderedDict((k, v) for k, v in state.items() if not k.startswith("head."))
    report = judge.compare("no head", net, no_head, "does-not-load")
    if report:
        theirs = set(net.load_state_dict(no_head, strict=False).missing_keys)
        judge.checks.equal(set(report["missing_keys"]), theirs, "no head: missing keys")
    extra = OrderedDict(state, extra=torch.ones(3))
    report = judge.compare("a key too many", net, extra, "loads-after-fix")
    if report:
        theirs = set(net.load_state_dict(extra, strict=False).unexpected_keys)
        judge.checks.equal(set(report["unexpected_keys"]), theirs, "a key too many: unexpected keys")
    judge.compare("nothing of it", net, {"a.weight": torch.ones(3, 5), "b.weight": torch.ones(7)}, "does-not-load")
    judge.compare("an empty file", net, {}, "does-not-load")
    untied = OrderedDict((k, v) for k, v in nets.Tied().state_dict().items() if k != "lm_head.weight")
    judge.compare("a tied weight that was not saved", nets.Tied(), untied, "loads-after-fix")
    window = nets.Window()
    no_index = OrderedDict((k, v) for k, v in window.state_dict().items() if "index" not in k)
    judge.compare("an index buffer that was not saved", window, no_index, "loads-after-fix")
    index = {"relative_position_index": torch.zeros(4, 4, dtype=torch.int64)}
    judge.compare("an index buffer too many", net, OrderedDict(state, **index), "loads-after-fix")
    # PyTorch fills them in where a file does not say (in `_metadata`) that it is newer than they are.
    uncounted = nets.Backbone().state_dict()
    for key in [k for k in uncounted if "num_batches" in k]:
        del uncounted[key]
    judge.compare("batch counters that were not saved", nets.Backbone(), uncounted, "loads-after-fix")
    judge.compare("batch counters that safetensors has not", nets.Backbone(), dict(uncounted), "loads", "safetensors")
    depth = nets.Tied()
    depth.blocks = depth.blocks[:2]
    # Dropping the last block makes it load, and a model of another depth out of it.
    judge.compare("a block too many", depth, nets.Tied().state_dict(), "does-not-load", refused=True)


def check_shapes_and_dtypes(judge):
    net = nets.Classifier()
    judge.compare("another number of classes", net, nets.Classifier(80).state_dict(), "does-not-load")
    wide = nets.Classifier()
    wide.backbone = nets.Backbone(width=4)
    judge.compare("another width", net, wide.state_dict(), "does-not-load")
    judge.compare("half precision", net, copy.deepcopy(net).half().state_dict(), "loads")
    judge.compare("double precision", net, copy.deepcopy(net).double().state_dict(), "loads")
    # PyTorch copies floats into integers and says nothing. ckdiff says that it loads, and that it is wrong.
    state = OrderedDict(net.state_dict())
    state["backbone.bn1.num_batches_tracked"] = torch.tensor(2.87)
    with judge.checks.guarded("floats into integers"):
        torch.save(state, judge.folder / "kind.pth")
        expect(net, judge.folder / "kind.json")
        status, report = judge.ckdiff.verdict(judge.folder / "kind.pth", judge.folder / "kind.json")
        judge.checks.equal(loads(net, state), None, "floats into integers: PyTorch loads it")
        judge.checks.equal(status, 1, "floats into integers: exit status")
        codes = [f["code"] for f in report["findings"] if f["severity"] == "error"]
        judge.checks.that(any(c.startswith("CK3") for c in codes), "floats into integers: an error of dtypes", codes)


def random_tree(rng, depth=0):
    """A module of some depth with leaves of different kinds."""
    leaves = [
        lambda: nn.Linear(rng.randint(1, 6), rng.randint(1, 6), bias=rng.random() < 0.7),
        lambda: nn.Conv2d(rng.randint(1, 4), rng.randint(1, 4), rng.choice((1, 3))),
        lambda: nn.BatchNorm1d(rng.randint(1, 6)),
        lambda: nn.LayerNorm(rng.randint(1, 6)),
        lambda: nn.Embedding(rng.randint(2, 9), rng.randint(1, 6)),
    ]
    names = ["conv", "norm", "proj", "mlp", "attn", "embed", "head", "encoder", "decoder", "down", "up"]
    module = nn.Module()
    for name in rng.sample(names, rng.randint(2, 4)):
        deeper = depth < 2 and rng.random() < 0.5
        module.add_module(name, random_tree(rng, depth + 1) if deeper else rng.choice(leaves)())
    return module


def check_random_models(judge, rounds=40):
    """Random models under random wrappers and prefixes, with keys added or lost: every claim must hold."""
    rng = random.Random(7)
    torch.manual_seed(7)
    for number in range(rounds):
        net = random_tree(rng)
        prefix = "".join(rng.choices(["module.", "_orig_mod.", "model.", "backbone.", "net."], k=rng.randint(0, 2)))
        state = OrderedDict((prefix + k, v) for k, v in net.state_dict().items())
        what = [repr(prefix)]
        if rng.random() < 0.3:
            state[rng.choice(list(state)) + "_extra"] = torch.ones(1)
            what.append("a key more")
        if rng.random() < 0.3:
            state.pop(rng.choice(list(state)))
            what.append("a key less")
        judge.compare(f"random model {number} ({', '.join(what)})", net, state)


def check_snapshot(judge):
    """What `snapshot` writes is what the model itself would have written."""
    with judge.checks.guarded("snapshot"):
        net = nets.Detector()
        torch.save(net.state_dict(), judge.folder / "snapshot.pth")
        judge.ckdiff.snapshot(judge.folder / "snapshot.pth", judge.folder / "snapshot.json")
        written = json.loads((judge.folder / "snapshot.json").read_text())
        ours = [(k, v["dtype"], v["shape"]) for k, v in written.items()]
        theirs = [(k, truth.dtype(v.dtype), list(v.shape)) for k, v in net.state_dict().items()]
        judge.checks.equal(ours, theirs, "snapshot: keys, dtypes, shapes, order")
        status, _ = judge.ckdiff.verdict(judge.folder / "snapshot.pth", judge.folder / "snapshot.json")
        judge.checks.equal(status, 0, "snapshot: the file loads into its own snapshot")


def check_all(checks, ckdiff, folder):
    judge = Judge(checks, ckdiff, folder)
    for part in (check_wrappers, check_prefixes, check_what_is_missing, check_shapes_and_dtypes, check_random_models,
                 check_snapshot):  # fmt: skip
        with checks.guarded(part.__name__):
            part(judge)
