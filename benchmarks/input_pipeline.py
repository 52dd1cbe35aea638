"""The input pipeline from JPEG file to tensor of the training size: ours against float pipelines of Pillow and OpenCV.

    python benchmarks/input_pipeline.py                 # 640x480 to 1067x800
    python benchmarks/input_pipeline.py --rounds 9 --images 16

* Pillow + float: decode and resize with Pillow, normalise in numpy, transpose to (3, H, W) float32;
* cv2 + float: the same with OpenCV, in BGR, converted to RGB before normalising;
* ours: the transforms of the configs up to the tensor, uint8 (3, H, W); the model's preprocessor normalises on
  its device. "ours, normalised" includes that step, to show the whole cost on a CPU.

The outputs are first checked to be equal: ours and cv2 exactly (before rounding of the normalised floats), ours and
Pillow up to the difference of their resizing. Then all run in turns in one process on one thread. Times are CPU time
per image, medians of the rounds. Memory is the increase to its peak for one image (Linux only). The floor is only
decoding and resizing. Accept: ours 3 times as fast as Pillow + float and 1.5 times as fast as cv2 + float.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from mmengine.registry import DefaultScope
from PIL import Image
from torch import Tensor

from visionzoo.registry import TRANSFORMS

SOURCE, TARGET = (640, 480), (1067, 800)  # width, height
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
ACCEPT = {"Pillow + float": 3.0, "cv2 + float": 1.5}

Pipeline = Callable[[str], Tensor]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table. Return 1 if a ratio is not accepted, 2 if outputs differ."""
    args = parser().parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pipelines = candidates()
    with tempfile.TemporaryDirectory() as folder:
        files = write_jpegs(Path(folder), args.images)
        if not equal(pipelines, files[0]):
            return 2
        seconds = time_in_turns({**pipelines, "floor: decode, resize": decode_and_resize}, files, args.rounds)
        memory = {name: peak_memory(pipeline, files[0]) for name, pipeline in pipelines.items()}
    print_table(seconds, memory)
    ratios = {name: seconds[name] / seconds["ours"] for name in ACCEPT}
    for name, ratio in ratios.items():
        verdict = "accepted" if ratio >= ACCEPT[name] else "NOT accepted"
        print(f"{verdict}: {ratio:.1f} times as fast as {name} (at least {ACCEPT[name]})")
    return 0 if all(ratio >= ACCEPT[name] for name, ratio in ratios.items()) else 1


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds; the median counts (default: 7)")
    parser.add_argument("--images", type=int, default=8, help="JPEG files per round (default: 8)")
    return parser


def write_jpegs(folder: Path, count: int) -> list[str]:
    """Write images with about the detail of a photo: noise of several scales, 50 to 100 KB each."""
    rng = np.random.default_rng(0)
    files = []
    for number in range(count):
        image = np.zeros((SOURCE[1], SOURCE[0], 3), np.float32)
        for cells, strength in ((4, 90), (16, 50), (64, 25), (240, 12)):
            noise = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
            image += cv2.resize(noise, SOURCE, interpolation=cv2.INTER_CUBIC)
        path = folder / f"{number}.jpg"
        cv2.imwrite(str(path), np.clip(image + 128, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
        files.append(str(path))
    return files


# --- candidates ---


def candidates() -> dict[str, Pipeline]:
    transforms = build_ours()
    return {
        "Pillow + float": pillow_float,
        "cv2 + float": cv2_float,
        "ours": lambda path: run_ours(transforms, path),
        "ours, normalised": lambda path: normalised(run_ours(transforms, path)),
    }


def build_ours() -> list:
    steps = [
        {"type": "LoadImage"},
        {"type": "mmdet.Resize", "scale": (1333, 800), "keep_ratio": True},
        {"type": "mmdet.PackDetInputs", "meta_keys": ("img_path", "ori_shape", "img_shape", "scale_factor")},
    ]
    with DefaultScope.overwrite_default_scope("visionzoo"):
        return [TRANSFORMS.build(step) for step in steps]


def run_ours(transforms: list, path: str) -> Tensor:
    sample: dict = {"img_path": path}
    for transform in transforms:
        sample = transform(sample)
    return sample["inputs"]


def normalised(image: Tensor) -> Tensor:
    mean, std = (torch.from_numpy(values).view(3, 1, 1) for values in (MEAN, STD))
    return (image.float() - mean) / std


def pillow_float(path: str) -> Tensor:
    with Image.open(path) as opened:
        image = np.asarray(opened.convert("RGB").resize(TARGET, Image.Resampling.BILINEAR))
    return to_float_tensor(image)


def cv2_float(path: str) -> Tensor:
    image = cv2.resize(cv2.imread(path), TARGET, interpolation=cv2.INTER_LINEAR)
    return to_float_tensor(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def to_float_tensor(image: np.ndarray) -> Tensor:
    """Return normalised (3, H, W) float32, as in pipelines that normalise in the worker."""
    values = (image.astype(np.float32) - MEAN) / STD
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def decode_and_resize(path: str) -> np.ndarray:
    return cv2.resize(cv2.imread(path), TARGET, interpolation=cv2.INTER_LINEAR)


# --- measuring ---


def equal(pipelines: dict[str, Pipeline], path: str) -> bool:
    outputs = {name: pipeline(path) for name, pipeline in pipelines.items()}
    ours = outputs["ours, normalised"]
    from_cv2 = float((ours - outputs["cv2 + float"]).abs().max())
    from_pillow = float((ours - outputs["Pillow + float"]).abs().mean())
    print(f"{SOURCE[0]}x{SOURCE[1]} JPEG to {TARGET[0]}x{TARGET[1]}, one thread; largest difference from cv2 + float")
    print(f"{from_cv2:.1e}, mean difference from Pillow + float {from_pillow:.1e} (of values scaled to unit variance)")
    if ours.shape != outputs["cv2 + float"].shape or from_cv2 > 1e-5 or from_pillow > 0.02:
        print("outputs differ; nothing was timed")
        return False
    return True


def time_in_turns(pipelines: dict[str, Callable], files: list[str], rounds: int) -> dict[str, float]:
    """Return the median CPU seconds per image of each pipeline."""
    times: dict[str, list[float]] = {name: [] for name in pipelines}
    for _ in range(max(5, rounds)):
        for name, pipeline in pipelines.items():
            start = time.process_time()
            for path in files:
                pipeline(path)
            times[name].append((time.process_time() - start) / len(files))
    return {name: median(values) for name, values in times.items()}


def peak_memory(pipeline: Callable, path: str) -> int | None:
    """Return the increase of memory to its peak for one image, in bytes; None if it cannot be measured."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # free pages of earlier runs would hide the memory of this run
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    before = status("VmRSS")
    pipeline(path)
    return status("VmHWM") - before


def status(entry: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(entry))


def print_table(seconds: dict[str, float], memory: dict[str, int | None]) -> None:
    sizes = {"ours": 1}
    print(f"{'candidate':<24}{'median CPU ms':>14}{'ours faster':>13}{'peak MiB':>10}{'output MiB':>12}")
    for name, value in seconds.items():
        peak = memory.get(name)
        shown = "" if peak is None else f"{peak / 2**20:.0f}"
        size = TARGET[0] * TARGET[1] * 3 * sizes.get(name, 4) / 2**20
        output = f"{size:.1f}" if name in memory else ""
        print(f"{name:<24}{1000 * value:14.2f}{value / seconds['ours']:13.2f}{shown:>10}{output:>12}")


if __name__ == "__main__":
    raise SystemExit(main())
