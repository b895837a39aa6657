"""The wheel: built by maturin, installed into a clean environment, and run from there."""

import atexit
import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command, **more):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=900, **more)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: exit status {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
    return done.stdout


@functools.cache
def built():
    """The wheel, with the profile of the tests, so that what is built already is not built again: how it is packed is tried here."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ckdiff-wheel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    maturin = pathlib.Path(sys.prefix) / "bin" / "maturin"
    run(maturin, "build", "--profile", "dev", "--out", folder, "--manifest-path", ROOT / "Cargo.toml", cwd=ROOT)
    (wheel,) = folder.glob("ckdiff-*.whl")
    return wheel


def environment(home):
    """A clean environment; gives the folder of its programs."""
    run(sys.executable, "-m", "venv", home)
    return home / "bin"


def install(wheel, folder):
    """A clean environment with nothing but the wheel; gives the path of the program in it."""
    programs = environment(folder / "environment")
    run(programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", wheel)
    return programs / "ckdiff"


def check_the_wheel(checks, ckdiff, folder):
    wheel = built()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        checks.that(any(n.endswith(".data/scripts/ckdiff") for n in names), "wheel: carries the binary", str(names))
        checks.that(any("LICENSE" in n for n in names), "wheel: carries the licence", str(names))
        metadata = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()
    version = run(ckdiff.binary, "--version").split()[1]
    checks.that(f"\nVersion: {version}\n" in metadata, "wheel: has the version of the program", metadata[:300])
    program = install(wheel, folder)
    alone = {"PATH": str(program.parent), "HOME": str(folder)}
    checks.equal(run(program, "--version", env=alone), f"ckdiff {version}\n", "wheel: --version runs from a clean environment")
    said = subprocess.run([program, "examples/01-backbone-prefix/expected.json", "tests/formats/expected.json"],
                          cwd=ROOT, env=alone, capture_output=True, text=True)
    checks.equal(said.returncode, 1, "wheel: the verdict runs from a clean environment")


def check_the_sources(checks, folder):
    maturin = pathlib.Path(sys.prefix) / "bin" / "maturin"
    run(maturin, "sdist", "--out", folder, "--manifest-path", ROOT / "Cargo.toml", cwd=ROOT)
    (archive,) = folder.glob("ckdiff-*.tar.gz")
    with tarfile.open(archive) as tar:
        inside = {pathlib.PurePosixPath(*pathlib.PurePosixPath(n).parts[1:]).as_posix() for n in tar.getnames()}
    needed = {p.relative_to(ROOT).as_posix() for part in ("src", "rules") for p in (ROOT / part).rglob("*") if p.is_file()}
    needed |= {"build.rs", "Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "LICENSE"}
    checks.equal(sorted(needed - inside), [], "wheel: the source distribution has all that it is built of")


def check_all(checks, ckdiff, folder):
    os.environ.setdefault("CARGO_TERM_COLOR", "never")
    with checks.guarded("wheel: the sources"):
        check_the_sources(checks, folder)
    with checks.guarded("wheel"):
        check_the_wheel(checks, ckdiff, folder)
