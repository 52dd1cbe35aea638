"""Forward passes of models in their fast form against the models as they are built: time, difference and cost.

    python benchmarks/fast_form.py                                    # the models below; about ten minutes
    python benchmarks/fast_form.py fpn_retinanet=800x1088 --rounds 5  # others, or other sizes

Models are full-size, with their initial weights. Each computes its raw outputs of one seeded image, as it is built and
in its fast form (:class:`visionzoo.models.fast_form.FastForm`), in turns in one process on one thread. Times are CPU
time, medians of the rounds. ``conversion`` is the CPU time in which a form is made; it is needed once per model.
``pays after`` is the number of images whose saved time equals it.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from timing import Row, record, time_in_turns

from visionzoo.cards.checks import raw_forward
from visionzoo.cards.fast_form_check import largest_difference
from visionzoo.config import load_config
from visionzoo.models.fast_form import FastForm
from visionzoo.weights.ready_model import ready_model

GOAL = 1.02  # medians of equal runs differ by up to 2 %
TOLERANCE = 1e-4  # initial weights leave some outputs near 0, where rounding is a larger part of them
SIZES = {
    "nasnet_large_imagenet": (331, 331),
    "nasnet_mobile_imagenet": (224, 224),
    "fpn_retinanet": (800, 1088),
    "rcnet_retinanet": (800, 1088),
    "bossnet_t0_imagenet": (224, 224),
    "dinat_mini_imagenet": (224, 224),
    "nat_mini_imagenet": (224, 224),
    "efficientnet_lite0_imagenet": (224, 224),
    "scnn_culane": (288, 800),
    "hmode_shanghaitech_a": (384, 512),
    "connnet_r50": (320, 320),
    "gconet_plus_vgg16bn": (256, 256),
    "mask2former_r50_coconut": (640, 640),
    "lavt_refcoco": (480, 480),
}


@dataclass(frozen=True)
class Forms:
    """Measured forms of one model: CPU seconds, largest relative difference, and what is replaced."""

    exact: float
    fast: float
    conversion: float
    difference: float
    about: dict

    @property
    def pays_after(self) -> str:
        saved = self.exact - self.fast
        return f"{math.ceil(self.conversion / saved)}" if saved > 0 else "never"


def main(argv: Sequence[str] | None = None) -> int:
    """Print one row per model. Return 1 if a form is slower, 2 if outputs differ."""
    args = parser().parse_args(argv)
    torch.set_num_threads(1)
    columns = ("exact ms", "fast ms", "ratio", "conversion ms", "pays after", "difference")
    print(f"{'model':<28}" + "".join(f"{name:>14}" for name in columns) + "  form", flush=True)
    slower = differs = False
    for name, size in [as_case(text) for text in args.models] or SIZES.items():
        row = measured(name, size, args.rounds)
        values = (f"{row.exact * 1e3:.0f}", f"{row.fast * 1e3:.0f}", f"{row.fast / row.exact:.2f}")
        values += (f"{row.conversion * 1e3:.0f}", row.pays_after, f"{row.difference:.1e}")
        print(f"{name:<28}" + "".join(f"{value:>14}" for value in values) + f"  {row.about}", flush=True)
        if row.difference > TOLERANCE:
            differs = True
            continue
        what, equal = f"{name}, {size[0]}x{size[1]}, fast form", f"{row.difference:.0e}"
        slower |= bool(record(Row(what, "its plain form", row.fast, row.exact, equal, GOAL)))
    return 2 if differs else int(slower)


def parser() -> argparse.ArgumentParser:
    """Return the parser of models and options."""
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    described.add_argument("models", nargs="*", metavar="NAME=HxW", help="models and sizes (default: a list)")
    described.add_argument("--rounds", type=int, default=5, help="turns of each form, at least 3 (default 5)")
    return described


def as_case(text: str) -> tuple[str, tuple[int, int]]:
    """Return name and (H, W) of ``NAME=HxW``."""
    name, size = text.split("=")
    height, width = map(int, size.split("x"))
    return name, (height, width)


def measured(name: str, size: tuple[int, int], rounds: int) -> Forms:
    """Measure both forms of a model at one size."""
    torch.manual_seed(0)
    loaded = load_config(name)
    model = ready_model(loaded)
    forward = raw_forward(model, loaded.cfg.task, seed=0, size=size, images=1)

    def fast() -> object:
        with form.applied():
            return forward()

    start = time.process_time()
    form = FastForm(model)
    with form.applied():
        conversion = time.process_time() - start
    difference = largest_difference(forward(), fast())  # type: ignore[arg-type]
    times = time_in_turns({"exact": forward, "fast": fast}, rounds, least=3)
    return Forms(times["exact"], times["fast"], conversion, difference, form.about())


if __name__ == "__main__":
    sys.exit(main())
