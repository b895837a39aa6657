"""The workflow of examples/ci: GitHub's schema accepts it, and its commands do what its names say, in a scratch repository."""

import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess

import jsonschema
import yaml

import wheel

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "examples/ci/ckdiff.yml"
STORY = ROOT / "examples/05-check"

# In place of GitHub's own client: it notes what it is asked, and knows the comment that an earlier run has left.
CLIENT = """#!/bin/bash
printf '%s\\n' "$*" >> "$LOG"
case "$*" in
  *--jq*) cat "$LOG.comments" 2>/dev/null || true ;;
  *POST*) echo 4711 > "$LOG.comments" ;;
esac
"""


def schema():
    (path,) = [f for f in importlib.metadata.files("check-jsonschema") if f.name == "github-workflows.json"]
    return json.loads(path.read_text())


def check_the_form(checks, text):
    # To YAML 1.1 `on` is a truth value; to GitHub it is a word.
    loaded = {("on" if key is True else key): value for key, value in yaml.safe_load(text).items()}
    rules = schema()
    validator = jsonschema.validators.validator_for(rules)(rules)
    checks.equal([e.message[:200] for e in validator.iter_errors(loaded)], [], "workflow: GitHub's schema accepts it")
    return loaded["jobs"]["ckdiff"]["steps"]


class Runner:
    """Runs the commands of the steps as GitHub does, `bash -e`, in a repository with the story of the examples."""

    def __init__(self, folder, config):
        self.home = folder / "repository"
        self.home.mkdir()
        for name in ("expected.json", "densenet121-a639ec97.pth"):
            shutil.copy(STORY / name, self.home)
        shutil.copy(STORY / config, self.home / "ckdiff.toml")
        subprocess.run(["git", "init", "--quiet", self.home], check=True)
        programs = wheel.environment(folder / "environment")
        client = programs / "gh"
        client.write_text(CLIENT)
        client.chmod(client.stat().st_mode | stat.S_IXUSR)
        self.log = folder / "gh.log"
        self.summary = folder / "summary.md"
        self.env = {
            "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder), "LOG": str(self.log), "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1", "GITHUB_STEP_SUMMARY": str(self.summary), "GITHUB_REPOSITORY": "some/where",
            "CKDIFF": str(wheel.built()), "PULL": "7", "GH_TOKEN": "none",
        }

    def run(self, step):
        return subprocess.run(["bash", "-e", "-c", step["run"]], cwd=self.home, env=self.env, capture_output=True, text=True)


def check_the_commands(checks, steps, folder, config, holds):
    runner = Runner(folder, config)
    for step in (s for s in steps if "run" in s):
        done = runner.run(step)
        wanted = 1 if step["name"] == "Check" and not holds else 0
        checks.equal(done.returncode, wanted, f"workflow: {step['name']}, {config}")
        if step["name"] == "Check":
            annotated = re.search(r"^::error file=expected\.json,line=\d+,", done.stdout, re.M)
            checks.equal(bool(annotated), not holds, "workflow: what does not hold is annotated")
    log = json.loads((runner.home / "ckdiff.sarif").read_text())
    checks.equal(log["runs"][0]["invocations"][0]["exitCode"], 0 if holds else 1, "workflow: the SARIF tells the outcome")
    checks.that("<!doctype html>" in (runner.home / "ckdiff.html").read_text(), "workflow: the page is written")
    checks.that(runner.summary.read_text().startswith("<!-- ckdiff -->"), "workflow: the summary is written")
    (comment,) = [s for s in steps if s.get("name") == "Comment"]
    runner.run(comment)
    asked = runner.log.read_text().splitlines()
    checks.that("POST" in asked[1] and "issues/7/comments" in asked[1], "workflow: the first run comments", asked[1])
    checks.that("PATCH" in asked[3] and asked[3].split()[3].endswith("/issues/comments/4711"), "workflow: the next rewrites it", asked[3])


def check_all(checks, ckdiff, folder):
    with checks.guarded("workflow"):
        steps = check_the_form(checks, WORKFLOW.read_text())
        for config, holds in (("strict.toml", False), ("ckdiff.toml", True)):
            own = folder / config
            own.mkdir()
            check_the_commands(checks, steps, own, config, holds)
