"""Runs every check: `interop.py BINARY`. The last line counts them."""

import os
import pathlib
import sys
import tempfile
import warnings

import torch

import benign
import converts
import dumps
import emits
import examples
import files
import formats
import guard
import libraries
import pages
import values
import verdicts
import wheel
import workflow
from checks import Checks, Ckdiff


def main(binary):
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    checks, ckdiff = Checks(), Ckdiff(os.path.abspath(binary))
    # `benign` comes last: it defines classes under the names of other libraries, and starts a process group.
    parts = (files, verdicts, examples, emits, libraries, formats, pages, converts, values, wheel, workflow, guard, dumps, benign)
    for part in parts:
        with tempfile.TemporaryDirectory() as folder:
            part.check_all(checks, ckdiff, pathlib.Path(folder))
    print(f"interop: {checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed or not checks.passed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
