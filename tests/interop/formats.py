"""The formats for review tools, judged by what the tools themselves demand: the schema of SARIF, and the limits of GitHub."""

import functools
import hashlib
import json
import pathlib
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import xml.etree.ElementTree

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEED = ["examples/01-backbone-prefix/retinanet_efficientvit_m4.pth", "examples/01-backbone-prefix/expected.json"]
MIXED = ["tests/formats/checkpoint.json", "tests/formats/expected.json"]
# The schema of OASIS, as the package of its editors carries it.
PACKAGE = "@microsoft/jest-sarif@1.0.0-beta.0"
MEMBER = "package/lib/schemas/sarif-2.1.0-rtm.5.json"
DIGEST = "2d99159ae54a3eea97f81781cff48780548657c35949f4b7f25e99a2ba4de4f8"


@functools.cache
def validator():
    """Fetched once for each environment, and checked against its digest each time."""
    kept = pathlib.Path(sys.prefix) / "sarif-2.1.0-rtm.5.json"
    if not kept.exists():
        npm = shutil.which("npm")
        if not npm:
            raise RuntimeError(f"npm is needed to fetch the schema of SARIF ({PACKAGE})")
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([npm, "pack", PACKAGE, "--silent"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            (archive,) = pathlib.Path(folder).glob("*.tgz")
            with tarfile.open(archive) as tar:
                kept.write_bytes(tar.extractfile(MEMBER).read())
    text = kept.read_bytes()
    if hashlib.sha256(text).hexdigest() != DIGEST:
        kept.unlink()
        raise RuntimeError("the schema of SARIF is not the one that is meant")
    schema = json.loads(text)
    return jsonschema.validators.validator_for(schema)(schema, format_checker=jsonschema.FormatChecker())


def written(ckdiff, form, *arguments, cwd=ROOT):
    return subprocess.run([ckdiff.binary, *map(str, arguments), "--format", form], cwd=cwd, capture_output=True, text=True,
                          timeout=60)


def hostile(folder):
    """Names that would break out of every format, and a pickle that would run a program."""
    names = ["a|b`c", "<img src=x>", "::error::x", "%0A", "a\nb", "[x](1)", "@everyone #1", "$(id)", "é模\u202e", "x" * 400]
    (folder / "sub dir").mkdir()
    source, target = folder / "sub dir/so:urce,%.json", folder / "target.json"
    source.write_text(json.dumps({f"{n}.w": [1] for n in names}))
    target.write_text(json.dumps({f"{n}.v": [2] for n in names} | {"z": [2]}))

    class Bomb:
        def __reduce__(self):
            return eval, ("1",)

    (folder / "bomb.pkl").write_bytes(pickle.dumps({"a": Bomb()}))
    return [source.relative_to(folder), target.relative_to(folder)], "bomb.pkl"


def promised(folder):
    """The same names under contracts: one that fails, one whose file is no checkpoint, one without a file, an ignore of nothing."""
    one = "[[contract]]\nname = '{}'\nsource = '{}'\nexpected = 'target.json'\n"
    pointer = folder / "sub dir/模 型#1.pth"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n")
    contracts = [("a|b`c <img src=x> ::error::", "sub dir/so:urce,%.json"),
                 ("模型 @everyone", pointer.relative_to(folder)), ("gone", "no/*.pth")]
    text = "".join(one.format(*c) for c in contracts) + "[[ignore]]\ncode = 'tied'\nreason = 'a|b <b> %0A'\n"
    (folder / "ckdiff.toml").write_text(text)
    return ["check"]


def check_sarif(checks, ckdiff, folder):
    pair, bomb = hostile(folder)
    check = promised(folder)
    for name, arguments, cwd, status in (
        ("mixed severities", MIXED, ROOT, 1), ("the seed story", SEED, ROOT, 1), ("the seed story, fixable", [*SEED, "--level", "fixable"], ROOT, 0),
        ("a file", ["inspect", SEED[0]], ROOT, 0), ("hostile names", pair, folder, 1), ("a dangerous pickle", ["inspect", bomb], folder, 1),
        ("a check", check, folder, 2),
    ):
        with checks.guarded(f"sarif: {name}"):
            done = written(ckdiff, "sarif", *arguments, cwd=cwd)
            log = json.loads(done.stdout)
            errors = [f"{list(e.absolute_path)}: {e.message[:120]}" for e in validator().iter_errors(log)]
            checks.equal(errors, [], f"sarif: {name} fits the schema")
            checks.equal([done.returncode, log["runs"][0]["invocations"][0]["exitCode"]], [status, status], f"sarif: {name} tells its exit status")
            for result in log["runs"][0]["results"]:
                check_result(checks, result, log["runs"][0], cwd)
    levels = {r["level"] for r in json.loads(written(ckdiff, "sarif", *MIXED).stdout)["runs"][0]["results"]}
    checks.equal(levels, {"error", "warning", "note"}, "sarif: the mixed run has every severity")


def check_result(checks, result, run, cwd):
    rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    checks.equal(rule["id"], result["ruleId"], "sarif: the index leads to the rule")
    checks.that(rule["help"]["markdown"] and rule["shortDescription"]["text"], f"sarif: {rule['id']} has help")
    for place in result["locations"] + result.get("relatedLocations", []):
        uri = place["physicalLocation"]["artifactLocation"]["uri"]
        parts = urllib.parse.urlsplit(uri)
        checks.that(not parts.scheme and not parts.query and not parts.fragment, f"sarif: {uri} is relative")
        path = cwd / urllib.parse.unquote(parts.path)
        checks.that(path.exists(), f"sarif: {uri} is a file")
        if region := place["physicalLocation"].get("region"):
            line = path.read_text().splitlines()[region["startLine"] - 1]
            key = place.get("logicalLocations", [{}])[0].get("fullyQualifiedName")
            if key is None:
                checks.that(re.match(r"\[\[ignore]]|source", line), "sarif: the line of the configuration", line)
            elif key.isascii() and key.isprintable() and "\\" not in key:
                checks.that(json.dumps(key) in line, f"sarif: {key} stands on the line that is named", line[:200])


def check_github(checks, ckdiff, folder):
    pair, _ = hostile(folder)
    for arguments, cwd in ((MIXED, ROOT), (pair, folder), (promised(folder), folder)):
        done = written(ckdiff, "github", *arguments, cwd=cwd)
        commands = [line for line in done.stdout.splitlines() if line.startswith("::")]
        for line in commands:
            # As the runner reads it: a command, properties between commas, the message behind the second pair of colons.
            parts = re.fullmatch(r"::(error|warning|notice) ((?:\w+=[^,:]*)(?:,\w+=[^,:]*)*)::(.*)", line)
            checks.that(parts, "github: a command reads back", line[:200])
            if parts:
                found = dict(p.split("=", 1) for p in parts[2].split(","))
                plain = {k: v.replace("%3A", ":").replace("%2C", ",").replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
                         for k, v in found.items()}
                checks.that("file" not in plain or (cwd / plain["file"]).exists(), "github: the file is there", line[:200])
        checks.that(commands and all(sum(c.startswith(f"::{kind} ") for c in commands) <= 10 for kind in ("error", "warning", "notice")),
                    "github: at most ten of a kind")


def check_markdown(checks, ckdiff, folder):
    pair, _ = hostile(folder)
    for arguments, cwd in ((MIXED, ROOT), (pair, folder), (promised(folder), folder)):
        text = written(ckdiff, "markdown", *arguments, cwd=cwd).stdout
        checks.that(len(text) < 65536, "markdown: fits into a comment", str(len(text)))
        for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
            checks.equal({row.count("|") for row in table.splitlines()}, {table.splitlines()[0].count("|")}, "markdown: no name adds a column")
        checks.that("<img" not in text and "@everyone" not in re.sub(r"<code>.*?</code>", "", text), "markdown: no name is markup")


def check_junit(checks, ckdiff, folder):
    pair, bomb = hostile(folder)
    for arguments, cwd, failures, errors, holding in (
        (MIXED, ROOT, 1, 0, 0), ([*SEED, "--level", "fixable"], ROOT, 0, 0, 1), (pair, folder, 1, 0, 0),
        (["inspect", bomb], folder, 1, 0, 0), (promised(folder), folder, 2, 1, 1),
    ):
        suites = xml.etree.ElementTree.fromstring(written(ckdiff, "junit", *arguments, cwd=cwd).stdout)
        (suite,) = suites
        cases = list(suite)
        name = f"junit: {arguments[0]}"
        checks.equal((suites.tag, suite.tag, {c.tag for c in cases}), ("testsuites", "testsuite", {"testcase"}), f"{name} is a suite")
        found = [sum(c.find(kind) is not None for c in cases) for kind in ("failure", "error")]
        checks.equal(found, [failures, errors], f"{name}: what does not hold")
        checks.equal([int(suite.get(a)) for a in ("tests", "failures", "errors")], [failures + errors + holding, *found], f"{name} counts")
        for case in cases:
            checks.that((cwd / case.get("file")).exists(), f"{name}: the file is there", case.get("file"))
            told = case.find("failure")
            checks.that(told is None or told.get("type") in told.text, f"{name}: the code is in the text")


def check_all(checks, ckdiff, folder):
    for check in (check_sarif, check_github, check_markdown, check_junit):
        with tempfile.TemporaryDirectory(dir=folder) as own, checks.guarded(f"formats: {check.__name__}"):
            check(checks, ckdiff, pathlib.Path(own))
