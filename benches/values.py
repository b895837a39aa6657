"""Measures `--values` against a bare memcmp and against PyTorch on the same files, and prints a table of ratios.

    values.py CKDIFF [--gb N] [--runs N] [--only WORD]        (needs a C compiler and PyTorch; PyTorch has one thread a core)

A run of one row times its commands in turn, A B A B …; the least time of all runs counts, since on a machine with other work
everything else is that work. Two figures are given: wall time, and the CPU time of the process over all its threads, which
suffers less from neighbours but does not show that two threads share the work. ckdiff and memcmp are timed as whole
processes, PyTorch inside a Python that has loaded it already.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import safetensors.torch
import torch

HERE = pathlib.Path(__file__).resolve().parent
TENSORS = 64
NARROW = {"float8_e4m3fn", "float8_e5m2"}

PEER = """
import sys, time, torch
from safetensors.torch import load_file
a, b = sys.argv[1:3]
torch.ones(1).equal(torch.ones(1))
wall, cpu = time.perf_counter(), time.process_time()
x, y = load_file(a), load_file(b)
{body}
print(time.perf_counter() - wall, time.process_time() - cpu)
"""
EQUAL = PEER.format(body="assert all(torch.equal(x[k].view(torch.uint8), y[k].view(torch.uint8)) for k in x)")
LARGEST = PEER.format(body="print(*[(x[k].to(WIDE) - y[k].to(WIDE)).abs().max() for k in x], file=sys.stderr)")


def files(folder, dtype, size):
    """a, its copy b, and c, in which every value differs."""
    kind = getattr(torch, dtype)
    count = size // TENSORS // kind.itemsize
    base = torch.randn(count, generator=torch.Generator().manual_seed(1)) * 0.05
    a = {f"layers.{i}.weight": (base + 0.001 * i).to(kind).reshape(-1, 1024) for i in range(TENSORS)}
    safetensors.torch.save_file(a, folder / "a.safetensors")
    safetensors.torch.save_file(a, folder / "b.safetensors")
    step = 1.125 if dtype not in NARROW else 1.5
    other = {k: (v.float() * step + 0.01).to(kind) for k, v in a.items()}
    safetensors.torch.save_file(other, folder / "c.safetensors")
    return [folder / f"{name}.safetensors" for name in "abc"]


class Timed:
    def __init__(self, arguments, inside=False):
        self.arguments, self.inside = [str(a) for a in arguments], inside
        self.wall = self.cpu = float("inf")
        self.memory = 0

    def run(self, keep=True):
        if self.inside:
            out = subprocess.run(self.arguments, capture_output=True, text=True, check=True).stdout.split()
            wall, cpu = map(float, out)
        else:
            launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, *self.arguments]
            out = subprocess.run(launcher, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
            wall, cpu, memory, status = float(out[0]), float(out[1]), float(out[2]), int(out[3])
            if status not in (0, 1):
                raise RuntimeError(f"{self.arguments}: exit status {status}")
            self.memory = max(self.memory, memory)
        if keep:
            self.wall, self.cpu = min(self.wall, wall), min(self.cpu, cpu)


LAUNCHER = """
import os, sys, time
null = os.open(os.devnull, os.O_WRONLY)
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)])
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status))
"""


def rows(dtype, commands, runs):
    """Times every command in turn; a ratio is time by the time of the first."""
    for turn in range(runs + 1):
        for _, command in commands:
            command.run(keep=turn > 0)
    first = commands[0][1]
    for name, c in commands:
        wall, cpu = c.wall / first.wall, c.cpu / first.cpu
        memory = f"{c.memory:,.0f} MB" if c.memory else ""
        print(f"| {dtype} | {name} | {c.wall:.3f} s | {wall:.2f} | {c.cpu:.3f} s | {cpu:.2f} | {memory} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ckdiff"), parser.add_argument("--gb", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=9), parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    ckdiff, size = os.path.abspath(arguments.ckdiff), int(arguments.gb * 2**30)
    print("| dtype | command | wall | by identity | cpu | by identity | peak memory |\n|---|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        memcmp = folder / "memcmp"
        subprocess.run(["cc", "-O2", "-o", memcmp, HERE / "memcmp.c"], check=True)
        for dtype in ("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"):
            if arguments.only not in dtype:
                continue
            a, b, c = files(folder, dtype, size)
            wide = "torch.float16" if dtype in NARROW else "x[k].dtype"
            python = [sys.executable, "-c"]
            rows(
                dtype,
                [
                    ("ckdiff --values=exact, two copies", Timed([ckdiff, a, b, "--values=exact"])),
                    ("memcmp over fresh mappings, two copies", Timed([memcmp, a, b])),
                    ("ckdiff --values, every value differs", Timed([ckdiff, a, c, "--values"])),
                    ("ckdiff --values, two copies", Timed([ckdiff, a, b, "--values"])),
                    ("load_file + torch.equal, two copies", Timed([*python, EQUAL, a, b], inside=True)),
                    ("load_file + (a-b).abs().max()", Timed([*python, LARGEST.replace("WIDE", wide), a, c], inside=True)),
                ],
                arguments.runs,
            )


if __name__ == "__main__":
    main()
