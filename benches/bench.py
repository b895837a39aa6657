"""Measures ckdiff against named peers on the same files, in one run, and prints a table of medians and ratios.

    bench.py CKDIFF STPROBE [--runs N] [--only WORD]

A run of one row times its commands in turn, A B A B …, so that a machine that slows down slows both. Times are of whole
processes, memory is the largest resident set (nothing below 9 MB shows: a process starts with what its launcher had). Two peers are timed inside a Python that has PyTorch loaded already, which
is kinder to them: `torch.load` and `safe_open`. No row asserts anything: figures are for people.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch

import inputs

HERE = pathlib.Path(__file__).resolve().parent
SEED = HERE.parent / "examples" / "01-backbone-prefix"
PYTHON = sys.executable

LOAD = """
import time, torch
start = time.perf_counter()
loaded = torch.load({path!r}, weights_only=True, mmap=True, map_location="meta")
print(time.perf_counter() - start)
"""
OPEN = """
import time, torch, safetensors
start = time.perf_counter()
with safetensors.safe_open({path!r}, "pt") as file:
    for key in file.keys():
        part = file.get_slice(key)
        part.get_shape(), part.get_dtype()
print(time.perf_counter() - start)
"""


ROUND = """
import time, torch
from safetensors.torch import load_file, save_file
start = time.perf_counter()
save_file(load_file({path!r}), {out!r})
print(time.perf_counter() - start)
"""
PICKLED = """
import time, torch
from safetensors.torch import save_file
start = time.perf_counter()
save_file(torch.load({path!r}, weights_only=True, mmap=True), {out!r})
print(time.perf_counter() - start)
"""


# A child's largest resident set includes what its parent had when it was started, so the parent has to be small.
LAUNCHER = """
import os, sys, time
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
null = os.open(os.devnull, os.O_WRONLY)
start = time.perf_counter()
actions = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, file_actions=actions)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - start, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status))
"""


class Command:
    """A process to time. With `inside`, the seconds that it prints itself count instead of its whole life.

    `writes` is what it writes: removed before it runs and after."""

    def __init__(self, *arguments, inside=False, writes=None):
        self.arguments, self.inside, self.expected = [str(a) for a in arguments], inside, ("0",)
        self.writes = writes
        self.seconds, self.megabytes = [], []

    def run(self):
        if self.writes:
            self.writes.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile("r") as out:
            launcher = [PYTHON, "-I", "-S", "-c", LAUNCHER, out.name, *self.arguments]
            done = subprocess.run(launcher, stdout=subprocess.PIPE, check=True, text=True)
            seconds, megabytes, status = done.stdout.split()
            if status not in self.expected:
                raise RuntimeError(f"{self.arguments}: exit status {status}")
            self.seconds.append(float(out.read() if self.inside else seconds))
            self.megabytes.append(float(megabytes))
        if self.writes:
            self.writes.unlink()

    def measured(self):
        """(median seconds, peak MB)"""
        return statistics.median(self.seconds), max(self.megabytes)


def inside(script, writes=None, **values):
    return Command(PYTHON, "-c", script.format(**values), inside=True, writes=writes)


class Bench:
    def __init__(self, ckdiff, stprobe, runs, only, folder):
        self.ckdiff, self.stprobe, self.runs, self.only, self.folder = ckdiff, stprobe, runs, only, folder
        print("| work | command | median | peak memory | ratio |\n|---|---|---:|---:|---:|")

    def row(self, work, ours, peers=(), runs=None, writes=None):
        """Times `ours` and then each (name, command) of `peers`, in turn."""
        if self.only and self.only not in work:
            return
        commands = [("ckdiff", Command(self.ckdiff, *ours, writes=writes)), *peers]
        commands[0][1].expected = ("0", "1")  # 1 is an answer too: it does not load.
        for turn in range((runs or self.runs) + 1):
            for _, command in commands:
                command.run()
                if turn == 0:  # The first turn warms the page cache.
                    command.seconds.clear(), command.megabytes.clear()
        first = commands[0][1].measured()[0]
        for number, (name, command) in enumerate(commands):
            seconds, megabytes = command.measured()
            ratio = "" if number == 0 else f"{seconds / first:,.0f}×" if seconds > 9.5 * first else f"{seconds / first:.1f}×"
            shown = f"{seconds * 1000:,.1f} ms"
            print(f"| {work if number == 0 else ''} | {name} | {shown} | {megabytes:,.0f} MB | {ratio} |", flush=True)


def start_up(bench):
    bench.row("start-up", ["--version"], [("python -c pass", Command(PYTHON, "-c", "pass"))])


def seed(bench):
    full = bench.folder / "retinanet_efficientvit_m4.pth"
    checkpoint = torch.load(SEED / "retinanet_efficientvit_m4.pth", weights_only=True)
    checkpoint["state_dict"] = {k: v.contiguous() for k, v in checkpoint["state_dict"].items()}
    torch.save(checkpoint, full)
    megabytes = full.stat().st_size / 1e6
    peers = [
        ('python -c "import torch"', Command(PYTHON, "-c", "import torch")),
        ("torch.load, imported already", inside(LOAD, path=str(full))),
    ]
    bench.row(f"the seed story, {megabytes:.0f} MB .pth against JSON", [full, SEED / "expected.json"], peers)
    bench.row("the same, as committed (0.3 MB)", [SEED / "retinanet_efficientvit_m4.pth", SEED / "expected.json"])


def large_headers(bench):
    keys = inputs.llama_7b()
    path = bench.folder / "llama.safetensors"
    inputs.write_safetensors(path, keys)
    peers = [("stprobe 0.2.3", Command(bench.stprobe, path)), ("safe_open, imported already", inside(OPEN, path=str(path)))]
    bench.row("header of a 13.5 GB .safetensors, 291 tensors", ["inspect", path, "--format", "json"], peers)
    path = bench.folder / "llama.pth"
    with torch.serialization.skip_data():
        torch.save({k: torch.empty(s, dtype=torch.float16) for k, (_, s) in keys.items()}, path)
    peers = [("torch.load, imported already", inside(LOAD, path=str(path)))]
    bench.row("header of a 13.5 GB .pth, 291 tensors", ["inspect", path, "--format", "json"], peers)
    path = bench.folder / "small.pth"
    torch.save({k: torch.zeros((), dtype=torch.float16).expand(s) for k, (_, s) in keys.items()}, path)
    bench.row("the same 291 tensors in a .pth of 0.1 MB", ["inspect", path, "--format", "json"])


def many_keys(bench):
    keys = inputs.narrowed(inputs.deepseek_v3(layers=66))
    path = bench.folder / "many.safetensors"
    inputs.write_safetensors(path, keys)
    peers = [("stprobe 0.2.3", Command(bench.stprobe, path)), ("safe_open, imported already", inside(OPEN, path=str(path)))]
    bench.row(f"inspect {len(keys):,} keys, .safetensors", ["inspect", path, "--format", "json"], peers)
    path = bench.folder / "many.pth"
    torch.save({k: torch.zeros((), dtype=torch.bfloat16).expand(s) for k, (_, s) in keys.items()}, path)
    peers = [("torch.load, imported already", inside(LOAD, path=str(path)))]
    bench.row(f"inspect {len(keys):,} keys, .pth", ["inspect", path, "--format", "json"], peers, runs=3)


def alignment(bench):
    """Two large key sets against each other. No peer does this; a smaller and a larger size show how the cost grows."""
    for layers in (15, 32, 66):
        keys = inputs.deepseek_v3(layers=layers)
        target, same = bench.folder / f"target{layers}.safetensors", bench.folder / f"same{layers}.safetensors"
        inputs.write_safetensors(target, keys)
        inputs.write_safetensors(same, keys)
        size = f"{len(keys):,}×{len(keys):,} keys"
        bench.row(f"align {size}, identical", ["-q", same, target])
        source = bench.folder / f"wrapped{layers}.safetensors"
        inputs.write_safetensors(source, inputs.wrapped_and_renamed(keys))
        bench.row(f"align {size}, two wrappers and a rename", ["-q", source, target])
        own = bench.folder / f"own{layers}.safetensors"
        inputs.write_safetensors(own, inputs.deepseek_own_names(keys))
        bench.row(f"align {size}, another vocabulary", ["-q", own, target], runs=3)


def one_pair(bench):
    """About a thousand keys by structure: Swin-B's names against mmdet's would be one; here 3 layers of 24 experts."""
    keys = inputs.deepseek_v3(layers=7, experts=20)
    source, target = bench.folder / "own.json", bench.folder / "target.json"
    inputs.write_expected(target, keys)
    inputs.write_expected(source, inputs.deepseek_own_names(keys))
    bench.row(f"align {len(keys):,}×{len(keys):,} keys, another vocabulary", ["-q", source, target])


def explained(bench):
    """Error texts of 50,000 characters. No peer reads them."""
    keys = inputs.deepseek_v3(layers=7, experts=20)
    log = bench.folder / "train.log"
    for what, (text, count) in (
        ("missing and unexpected keys", inputs.strict_error(keys, 50_000)),
        ("sizes", inputs.shape_error(keys, 50_000)),
    ):
        log.write_text(text)
        bench.row(f"explain a text of {len(text):,} characters, {count} {what}", ["explain", log])


def conversions(bench):
    """Four gigabytes of weights written anew. What is copied is real data: `cp` would leave holes out."""
    if bench.only and "convert" not in bench.only:
        return
    source, target, out = bench.folder / "weights.safetensors", bench.folder / "weights.json", bench.folder / "out.safetensors"
    keys = inputs.first_layers(inputs.llama_7b(), 10)
    inputs.write_expected(target, keys)
    inputs.write_safetensors(source, keys, filled=True)
    gigabytes = f"{source.stat().st_size / 1e9:.1f} GB"
    peers = [
        ("cp", Command("/bin/cp", source, out, writes=out)),
        ("load_file and save_file, imported already", inside(ROUND, writes=out, path=str(source), out=str(out))),
    ]
    bench.row(f"convert {gigabytes}, .safetensors", ["convert", "-q", source, "-o", out], peers, runs=3, writes=out)
    renamed = {f"module.{key.replace('self_attn', 'attn')}": what for key, what in keys.items()}
    inputs.write_safetensors(source, renamed, filled=True)
    ours = ["convert", "-q", source, "-o", out, "--to", target]
    bench.row(f"convert {gigabytes}, all keys renamed", ours, peers[:1], runs=3, writes=out)
    source.unlink()
    source = bench.folder / "weights.pth"
    torch.save({k: torch.full(s, 1.5, dtype=torch.float16) for k, (_, s) in keys.items()}, source)
    peers = [
        ("cp", Command("/bin/cp", source, out, writes=out)),
        ("torch.load and save_file, imported already", inside(PICKLED, writes=out, path=str(source), out=str(out))),
    ]
    bench.row(f"convert {gigabytes}, .pth", ["convert", "-q", source, "-o", out], peers, runs=3, writes=out)
    ours = ["convert", "-q", source, "-o", out, "--dtype", "bf16"]
    bench.row(f"convert {gigabytes}, f16 to bf16", ours, [], runs=3, writes=out)
    source.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ckdiff"), parser.add_argument("stprobe")
    parser.add_argument("--runs", type=int, default=7), parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(
            os.path.abspath(arguments.ckdiff), arguments.stprobe, arguments.runs, arguments.only, pathlib.Path(folder)
        )
        for part in (start_up, seed, large_headers, many_keys, one_pair, alignment, explained, conversions):
            part(bench)


if __name__ == "__main__":
    main()
