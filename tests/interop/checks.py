"""Counts what holds and what does not, and calls the program under test."""

import json
import subprocess
import traceback
from contextlib import contextmanager


class Checks:
    """The tally. A check that raises has failed; the others still run."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def that(self, holds, name, detail=""):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}: {detail}" if detail else f"FAILED {name}")

    def equal(self, ours, theirs, name):
        """`ours` is what ckdiff says, `theirs` what the library says."""
        detail = ""
        if ours != theirs:
            if isinstance(ours, (set, frozenset)):
                only, lacking = sorted(map(str, ours - theirs)), sorted(map(str, theirs - ours))
                detail = f"only ckdiff: {only[:4]} ({len(only)}), only the library: {lacking[:4]} ({len(lacking)})"
            else:
                detail = f"ckdiff: {str(ours)[:300]}, the library: {str(theirs)[:300]}"
        self.that(ours == theirs, name, detail)

    @contextmanager
    def guarded(self, name):
        try:
            yield
        except Exception:
            self.that(False, name, traceback.format_exc(limit=4))


class Ckdiff:
    """The binary. Every call is checked for the exit statuses that the command line promises."""

    def __init__(self, binary):
        self.binary = binary

    def _run(self, *arguments):
        done = subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True, timeout=60)
        if done.returncode not in (0, 1, 2) or "panicked" in done.stderr:
            raise RuntimeError(f"{arguments}: exit status {done.returncode}: {done.stderr[-400:]}")
        return done

    def inspect(self, path):
        """What `inspect` says, as a dict."""
        done = self._run("inspect", path, "--format", "json")
        if done.returncode == 2:
            raise RuntimeError(f"inspect {path}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def verdict(self, source, target, *more):
        """Exit status and JSON of `ckdiff SOURCE TARGET`."""
        done = self._run(source, target, "--format", "json", *more)
        if done.returncode == 2:
            raise RuntimeError(f"{source} {target}: {done.stderr.strip()}")
        return done.returncode, json.loads(done.stdout)

    def snapshot(self, path, out):
        """Writes expected.json."""
        done = self._run("snapshot", path, "-o", out)
        if done.returncode != 0:
            raise RuntimeError(f"snapshot {path}: {done.stderr.strip()}")
