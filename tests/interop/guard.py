"""The hooks of .pre-commit-hooks.yaml: the real pre-commit installs them from this repository and runs them in a scratch one."""

import json
import os
import pathlib
import pickle
import re
import subprocess
import sys

import torch

import nets
import verdicts

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRE_COMMIT = pathlib.Path(sys.prefix) / "bin" / "pre-commit"
CONTRACT = '[[contract]]\nname = "detector"\nsource = "weights/*.pth"\nexpected = "expected.json"\n'
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 4096\n"


class Payload:
    """Pickled, it asks for `eval`; what it would evaluate is a number."""

    def __reduce__(self):
        return eval, ("1",)


class Repository:
    """A scratch repository. Whatever is configured for this user or this machine's git does not count in it."""

    def __init__(self, home, cache):
        self.home = home
        self.home.mkdir()
        # The wheel is built with the profile of the tests, into their folder: how it is installed is tried here, not how fast it is.
        target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
        self.env = os.environ | {
            "PATH": f"{PRE_COMMIT.parent}:{os.environ['PATH']}", "PRE_COMMIT_HOME": str(cache), "CARGO_TARGET_DIR": target,
            "MATURIN_PEP517_ARGS": "--profile dev", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
            "PRE_COMMIT_COLOR": "never", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        } | {f"GIT_{who}_{what}": "nobody@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            self.env.pop(name, None)
        self.git("init", "--quiet", ".")

    def run(self, *command):
        done = subprocess.run([*map(str, command)], cwd=self.home, env=self.env, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=900)
        return done.returncode, done.stdout

    def git(self, *arguments):
        status, said = self.run("git", *arguments)
        if status:
            raise RuntimeError(f"git {arguments[0]}: {said[-800:]}")
        return said

    def add(self, name, content):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "--", name)

    def weights(self, name, state):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, path)
        self.git("add", "--", name)


def check_a_contract(checks, folder):
    """`try-repo`, as somebody does who has heard of the hook."""
    repository = Repository(folder / "tried", folder / "cache-tried")
    model = nets.Detector()
    verdicts.expect(model, repository.home / "expected.json")
    repository.add("ckdiff.toml", CONTRACT)
    repository.weights("weights/detector.pth", {f"module.{k}": v for k, v in model.state_dict().items()})
    repository.git("add", "--all")
    tried = [PRE_COMMIT, "try-repo", ROOT, "--all-files"]
    status, said = repository.run(*tried)
    checks.equal(status, 1, f"pre-commit: a broken checkpoint fails: {said[-600:]}")
    for words in ("ckdiff check", "Failed", "contract detector", "verdict   loads after the fix, not as it is", "module."):
        checks.that(words in said, f"pre-commit: the hook says `{words}`", said[-1500:])
    repository.weights("weights/detector.pth", model.state_dict())
    status, said = repository.run(*tried)
    checks.equal(status, 0, f"pre-commit: once mended it passes: {said[-600:]}")
    checks.that("ckdiff check" in said and "Passed" in said, "pre-commit: the hook ran", said)


def configured(folder):
    """A repository in which both hooks are installed, by the configuration that the README shows."""
    repository = Repository(folder / "installed", folder / "cache-installed")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    (block,) = re.findall(r"^```yaml\n(repos:\n.*?)```$", (ROOT / "README.md").read_text(), re.S | re.M)
    repository.add(".pre-commit-config.yaml", block.replace("ADDRESS", json.dumps(str(ROOT))).replace("REVISION", commit))
    verdicts.expect(nets.Backbone(), repository.home / "expected.json")
    repository.add("ckdiff.toml", CONTRACT)
    repository.weights("weights/a.pth", nets.Backbone().state_dict())
    repository.git("add", "--all")
    status, said = repository.run(PRE_COMMIT, "install", "--install-hooks")
    if status:
        raise RuntimeError(said[-1500:])
    return repository


def refused(repository, *words):
    """What is staged cannot be committed, and every word is said; gives what is amiss."""
    status, said = repository.run("git", "commit", "--quiet", "-m", "new weights")
    missing = [w for w in words if w not in said]
    repository.git("reset", "--quiet", "--hard")
    return [] if status == 1 and not missing else [f"exit status {status}, not said: {missing}: {said[-1500:]}"]


def check_commits(checks, folder):
    repository = configured(folder)
    status, said = repository.run("git", "commit", "--quiet", "-m", "all is well")
    checks.equal(status, 0, f"pre-commit: what is clean is committed: {said[-1500:]}")

    repository.weights("weights/a.pth", nets.Classifier().state_dict())
    checks.equal(refused(repository, "contract detector", "verdict"), [], "pre-commit: a contract that a commit breaks")

    repository.add("new/model.pkl", pickle.dumps({"weight": Payload()}))
    said = refused(repository, "new/model.pkl", "CK501", "builtins.eval", "do not load it")
    checks.equal(said, [], "pre-commit: a pickle that runs code")

    repository.add("new/pytorch_model.bin", POINTER.format("4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"))
    said = refused(repository, "new/pytorch_model.bin", "CK001", "a git-lfs pointer", "git keeps the pointer in place of the weights")
    checks.equal(said, [], "pre-commit: a git-lfs pointer that is committed as weights")

    repository.weights("new/large.pth", {"weight": torch.zeros(26_000_000)})
    said = refused(repository, "new/large.pth", "CK016", "at most 100 MB", 'git lfs track "*.pth"')
    checks.equal(said, [], "pre-commit: a file too large for git")

    repository.weights("new/smaller.pth", {"weight": torch.zeros(1000)})
    repository.add("new/firmware.bin", bytes(range(256)))
    repository.add("notes.txt", "no weights\n")
    status, said = repository.run("git", "commit", "--quiet", "-m", "clean weights")
    checks.equal(status, 0, f"pre-commit: clean weights are committed, and what is no checkpoint is none of its business: {said[-800:]}")
    status, said = repository.run(PRE_COMMIT, "run", "--all-files")
    checks.equal((status, said.count("Passed")), (0, 2), "pre-commit: all files, both hooks")


def check_all(checks, ckdiff, folder):
    with checks.guarded("pre-commit: try-repo"):
        check_a_contract(checks, folder)
    with checks.guarded("pre-commit: installed"):
        check_commits(checks, folder)
