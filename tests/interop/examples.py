"""The committed examples: what their scripts write today is what is committed, and the named fix works."""

import json
import pathlib
import subprocess
import sys

import torch

import truth
import verdicts

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def check_scripts(checks, folder):
    for script in sorted(s for s in EXAMPLES.glob("*/make.py") if list(s.parent.glob("*.pth"))):
        name = script.parent.name
        with checks.guarded(name):
            (committed,) = script.parent.glob("*.pth")
            again = folder / f"{name}.pth"
            subprocess.run([sys.executable, script, again], check=True)
            old, new = (torch.load(p, weights_only=False) for p in (committed, again))
            checks.equal(truth.facts(old), truth.facts(new), f"{name}: make.py writes the committed file")


def check_the_seed(checks, ckdiff):
    home = EXAMPLES / "01-backbone-prefix"
    with checks.guarded("the seed story"):
        source, target = home / "retinanet_efficientvit_m4.pth", home / "expected.json"
        _, report = ckdiff.verdict(source, target)
        state = torch.load(source, weights_only=False)["state_dict"]
        expected = json.loads(target.read_text())
        ours = {k: list(v.shape) for k, v in verdicts.mended(state, report).items()}
        checks.equal(ours, {k: v["shape"] for k, v in expected.items()}, "the seed story: renames and drops give the 692 keys")


def check_all(checks, ckdiff, folder):
    check_scripts(checks, folder)
    check_the_seed(checks, ckdiff)
