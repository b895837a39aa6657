"""The fixes to paste for Transformers and MMEngine, run by the real libraries on models of theirs or built from torch.nn."""

import contextlib
import io
import json
import re
import warnings

import torch
from torch import nn

import nets
from verdicts import expect


def state_of(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def wrapped(state, prefix):
    return {prefix + k: v for k, v in state.items()}


def replaced(state, *pairs):
    for pattern, new in pairs:
        state = {re.sub(pattern, new, k): v for k, v in state.items()}
    return state


def snippet(ckdiff, source, target, form):
    done = ckdiff._run(str(source), str(target), "--emit", form)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def run(text, folder):
    """Runs a snippet where the checkpoint lies; gives its names."""
    space = {}
    silent = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(text, "snippet", "exec"), space)
    return space


def transformers_pairs():
    """Name, configuration, the names under which the weights are kept, and which way the snippet must take."""
    import transformers as t

    small = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, vocab_size=40)
    bert = t.BertConfig(**small)
    gpt2 = t.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=40, n_positions=32)
    vit = t.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=8
    )
    llama = t.LlamaConfig(**small, num_key_value_heads=2)
    head = {"head.weight": torch.zeros(3, 16), "head.bias": torch.zeros(3)}
    yield "data-parallel", bert, lambda s: wrapped(s, "module."), "key_mapping"
    yield "compiled", gpt2, lambda s: wrapped(s, "_orig_mod."), "key_mapping"
    yield "renamed-list", bert, lambda s: replaced(s, (r"^encoder\.layer\.", "encoder.blocks.")), "key_mapping"
    yield "head-left-out", vit, lambda s: wrapped(s, "net.") | head, "key_mapping"
    yield "renamed-within", llama, lambda s: replaced(s, ("input_layernorm", "ln_1"), (r"\.mlp\.", ".ffn.")), "key_mapping"
    yield "two-numbers", bert, lambda s: replaced(
        wrapped(s, "module."), (r"encoder\.layer\.(\d+)\.attention\.self", r"encoder.block\1.self_attention.inner")
    ), None
    yield "quotes-in-names", bert, lambda s: wrapped(s, 'a"\\\n#.'), None
    larger = t.BertConfig(**small | {"vocab_size": 48})
    yield "smaller-vocabulary", bert, lambda s: wrapped(state_of(t.AutoModel.from_config(larger)), "module."), "state_dict="


def check_transformers(checks, ckdiff, folder):
    import transformers as t

    t.logging.set_verbosity_error()
    for name, config, stored, way in transformers_pairs():
        label = f"emit transformers, loaded by Transformers: {name}"
        with checks.guarded(label):
            here = folder / f"hf-{name}"
            here.mkdir()
            torch.manual_seed(1)
            model = t.AutoModel.from_config(config)
            state = state_of(model)
            given = stored(state)
            config.save_pretrained(here)
            torch.save(given, here / "pytorch_model.bin")
            expect(model, here / "expected.json")
            _, report = ckdiff.verdict(here / "pytorch_model.bin", here / "expected.json")
            text = snippet(ckdiff, here / "pytorch_model.bin", here / "expected.json", "transformers")
            if way:
                checks.equal(way in text, True, f"{label}, by {way}")
            torch.manual_seed(2)
            loaded = run(text.replace('"FOLDER"', json.dumps(str(here))), here)["model"].state_dict()
            for match in report["matches"]:
                if len(match["source"]) == 1 and match["how"] in ("identical", "renamed") and match["shapes"] == "equal":
                    key = match["target"]
                    same = torch.equal(loaded[key], given[match["source"][0]])
                    checks.equal(same, True, f"{label}, {key}")
            filled = [m for m in report["matches"] if m["shapes"] != "different"]
            checks.equal(len(filled), len(state), f"{label}, every key")


def mmengine_pairs():
    """Name, model, checkpoint."""
    backbone = state_of(nets.Backbone())
    yield "data-parallel", nets.Backbone(), wrapped(backbone, "module.")
    yield "compiled", nets.Backbone(), {"state_dict": wrapped(backbone, "module._orig_mod."), "meta": {}}
    yield "detector", nets.Backbone(), {"state_dict": state_of(nets.Detector())}
    yield "backbone-given", nets.Detector(), backbone
    yield "classes", nets.Classifier(10), state_of(nets.Classifier(1000))
    blocks = nn.ModuleDict({"blocks": nn.ModuleList(nets.Window() for _ in range(2))})
    yield "renamed", blocks, replaced(state_of(blocks), (r"^blocks\.", "layers."))


def check_mmengine(checks, ckdiff, folder):
    import mmengine.runner

    checks.equal(hasattr(mmengine.runner, "Runner"), True, "MMEngine is the real one")
    for name, model, checkpoint in mmengine_pairs():
        label = f"emit mmengine, loaded by MMEngine: {name}"
        with checks.guarded(label):
            here = folder / f"mm-{name}"
            here.mkdir()
            torch.save(checkpoint, here / "model.pth")
            expect(model, here / "expected.json")
            _, report = ckdiff.verdict(here / "model.pth", here / "expected.json")
            text = snippet(ckdiff, here / "model.pth", here / "expected.json", "mmengine")
            for value in model.state_dict().values():
                value.fill_(77)
            before = {k: v.clone() for k, v in model.state_dict().items()}
            space = {"model": model}
            with contextlib.chdir(here), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                exec(compile(text, "snippet", "exec"), space)
            changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
            wanted = {
                m["target"]
                for m in report["matches"]
                if m["how"] in ("identical", "renamed") and m["shapes"] == "equal"
            }
            checks.equal(changed, wanted, label)


def check_all(checks, ckdiff, folder):
    folder = folder / "libraries"
    folder.mkdir()
    check_transformers(checks, ckdiff, folder)
    check_mmengine(checks, ckdiff, folder)
