"""CPU time per image of `visionzoo infer` as a whole: listing, reading, model, writing.

    python benchmarks/throughput.py
    python benchmarks/throughput.py --models bossnet_t0_imagenet --flags="--tiny --weights none" --images 20

Each model runs on N and on 5 N drawn photos (640 x 480 JPEG), as files, as a shard, and in two processes of torchrun.
The difference of the two CPU times (user + system, with all child processes), divided by 4 N, is the time per image
without the start; `start` is what remains. On a machine that others use, CPU time varies by about 10 %.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import shlex
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
MODELS = ("efficientnet_lite0_imagenet", "cells_rcnet_lite", "cells_density_lite")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, help="models (default: three with packaged weights)")
    parser.add_argument("--images", type=int, default=30, help="images of the smaller run (default: 30)")
    parser.add_argument("--flags", default="", help="further options of `visionzoo infer` (default: none)")
    args = parser.parse_args(argv)
    print(f"{'model':<28} {'inputs':<14} {'ms / image':>10} {'images / s and core':>20} {'start s':>8}")
    with tempfile.TemporaryDirectory() as folder:
        few, many = args.images, 5 * args.images
        inputs = {count: draw(Path(folder), count) for count in (few, many)}
        for model in args.models:
            cpu_seconds((), model, inputs[few][0], Path(folder), shlex.split(args.flags))  # fills the caches
            for name, launcher, kind in (("files", (), 0), ("shard", (), 1), ("two processes", TORCHRUN, 0)):
                seconds = {
                    count: cpu_seconds(launcher, model, paths[kind], Path(folder), shlex.split(args.flags))
                    for count, paths in inputs.items()
                }
                each = (seconds[many] - seconds[few]) / (many - few)
                start = seconds[few] - few * each
                print(f"{model:<28} {name:<14} {1000 * each:10.1f} {1 / each:20.1f} {start:8.1f}", flush=True)
    return 0


def draw(folder: Path, count: int) -> tuple[Path, Path]:
    """Draw photos of 640 x 480 pixels. Return their folder, and a shard of them."""
    images, shard = folder / f"{count}", folder / f"{count}.tar"
    images.mkdir()
    with tarfile.open(shard, "w") as archive:
        for number in range(count):
            rng = np.random.default_rng(number)
            coarse = Image.fromarray(rng.integers(0, 255, (30, 40, 3), np.uint8))
            file = io.BytesIO()
            coarse.resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
            (images / f"{number:06}.jpg").write_bytes(file.getvalue())
            archive.add(images / f"{number:06}.jpg", f"{number:06}.jpg")
    return images, shard


def cpu_seconds(launcher: tuple[str, ...], model: str, inputs: Path, folder: Path, flags: list[str]) -> float:
    """Return the CPU seconds of a run with its child processes."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        line = [sys.executable, *launcher, str(ROOT / "tools" / "infer.py"), model, str(inputs), *flags]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        before = used()
        subprocess.run([*line, "--device", "cpu", "--vis", "none", "-q", "-o", out], check=True, env=env)
        return used() - before


def used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
