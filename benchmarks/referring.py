"""Ten sentences about one image together against ten runs, and attention of torch against its literal formulation.

    python benchmarks/referring.py                        # all models, about 20 minutes on one thread
    python benchmarks/referring.py --only "LAVT tiny"     # one of them
    python benchmarks/referring.py --train                # also mIoU of early and late fusion on the drawn twin

Each model has random weights and receives one image of 480 x 640 pixels, which becomes 480 x 480, with ten sentences.
The ways run in turns in one process on one thread, from the image in memory to the result. The maps must be equal to
those of ten runs, and a hook counts how many images pass through the part that does not depend on the sentence. Times
are CPU time, medians of the rounds; the first round includes the start of torch. WiCo's ten runs include ten runs of
the segmenter.

Measured on 29 November 2026, 480 x 480, CPU time on one AMD EPYC core, the other one and its cache busy with other
work. Differences are at most 7e-7; the shared parts ran once.

    model                    commit    rounds   together   one by one   ratio   accept   literal attention
    LAVT tiny                c6e6ed2        2     32.8 s       37.4 s    1.14     1.03              32.4 s
    LAVT base                c6e6ed2        2     85.7 s       88.6 s    1.03     1.03              82.6 s
    LAVT base, late fusion   c6e6ed2        1     45.0 s       86.8 s    1.93     2.0               43.9 s
    LAVT base, late fusion   9a1621a        1     42.5 s       86.6 s    2.04     2.0               44.3 s
    WiCo base                c6e6ed2        1     91.0 s      221.2 s    2.43     1.3               94.5 s

On Intel Xeon cores, before phrases ran two by two: LAVT base 0.98 and late fusion 2.03 (36.1 and 73.4 s). LAVT runs two
phrases at a time after the shared part, because the maps of ten leave the cache. With late fusion, the decoder takes
three quarters of the time; since 9a1621a it takes five phrases at a time.

Late fusion, trained in the tiny variant (`--train`): mIoU 0.816 on the drawn val split, and 0.837 with fusion in all
stages.

The literal formulation multiplies queries and keys, adds the bias, and multiplies the softmax by the values. Its maps
must be equal to 1e-5.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from timing import Row, record, time_in_turns
from torch import Tensor

from visionzoo import Inferencer
from visionzoo.config import load_config
from visionzoo.config.image_size import image_size_settings
from visionzoo.engine.training import train

TOLERANCE = 1e-5
SENTENCES = [
    *("left red box", "the small disc on the right side", "person in a white shirt", "second bowl from the left"),
    *("the dog that looks at the camera", "blue car", "woman with an umbrella near the bench", "top sandwich"),
    *("chair closest to us, partly cut off", "empty glass"),
]
BERT = {"model.text_encoder.weights": None, "model.text_encoder.variant": "base"}
LATE = {"model.backbone.fusion_stages": (2, 3)}
# Name -> config, its options, and the ratio that the shared part must give.
CASES: dict[str, tuple[str, dict[str, Any], float]] = {
    "LAVT tiny": ("lavt_refcoco", {"model.backbone.variant": "swin_tiny"}, 1.03),
    "LAVT base": ("lavt_refcoco", {}, 1.03),
    "LAVT base, late fusion": ("lavt_refcoco", LATE, 2.0),
    "WiCo base": ("wico_lavt_refcoco", {"model.head.provider.weights": "none"}, 1.3),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line for each model. Return 1 if a ratio is too low, 2 if results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=CASES, help="one model (default: all)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of each model (default: 1)")
    parser.add_argument("--size", type=int, default=480, help="side of the network's input (default: 480)")
    parser.add_argument("--train", action="store_true", help="train tiny models with early and late fusion")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    codes = [compare(name, args.rounds, args.size) for name in ([args.only] if args.only else CASES)]
    if args.train:
        for name, options in (("all stages", {}), ("stages 3 and 4", LATE)):
            print(f"fusion in {name}: mIoU {miou_of_twin(options):.3f} on unseen drawn images", flush=True)
    return max(codes)


def compare(name: str, rounds: int, size: int) -> int:
    """Check and time one model."""
    config, options, least = CASES[name]
    torch.manual_seed(0)
    sides = image_size_settings(load_config(config).cfg.to_dict(), str(size))
    inferencer = Inferencer(config, "none", device="cpu", options={**BERT, **options, **sides})
    image = np.random.RandomState(0).randint(0, 256, (480, 640, 3), np.uint8)

    def together() -> list[np.ndarray]:
        forget_objects(inferencer.model)
        return [found.result.map for found in inferencer(image, text=SENTENCES)]

    def one_by_one() -> list[np.ndarray]:
        found = []
        for sentence in SENTENCES:
            forget_objects(inferencer.model)
            found.append(inferencer.one(image, text=sentence).result.map)
        return found

    def literally() -> list[np.ndarray]:
        with mock.patch("torch.nn.functional.scaled_dot_product_attention", literal_attention):
            return together()

    maps: dict[str, list[np.ndarray]] = {}
    counts: dict[str, dict[str, int]] = {}

    def kept(run: Callable[[], list[np.ndarray]]) -> None:
        with counted_images(inferencer.model) as counts[run.__name__]:
            maps[run.__name__] = run()

    times = time_in_turns({run.__name__: partial(kept, run) for run in (together, one_by_one, literally)}, rounds, 1)
    if set(counts["together"].values()) != {1}:
        print(f"{name}: images through the shared parts: {counts['together']}, expected 1", file=sys.stderr)
        return 2
    error, literal_error = (largest_difference(maps["together"], maps[run]) for run in ("one_by_one", "literally"))
    if max(error, literal_error) > TOLERANCE:
        print(f"{name}: maps differ by {error:.2g}, from literal attention by {literal_error:.2g}", file=sys.stderr)
        return 2
    ratio = times["one_by_one"] / times["together"]
    print(
        f"{name}, {size}x{size}: together {times['together']:.1f} s, one by one {times['one_by_one']:.1f} s "
        f"({ratio:.2f}x, accept {least}), literal attention {times['literally']:.1f} s; "
        f"differences {error:.1g} and {literal_error:.1g}; shared parts ran once: {', '.join(counts['together'])}",
        flush=True,
    )
    what, equal = f"{name}, {len(SENTENCES)} sentences about one image, {size}x{size}", f"{TOLERANCE:g}"
    return record(Row(what, "one run per sentence", times["together"], times["one_by_one"], equal, 1 / least))


@contextmanager
def counted_images(model: torch.nn.Module) -> Iterator[dict[str, int]]:
    """Count the images that pass through the parts before the first sentence while the block runs."""
    counts = {"patch embedding": 0}

    def count(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        counts["patch embedding"] += len(inputs[0])

    handle = model.backbone.patch_embed.register_forward_pre_hook(count)
    provider = getattr(model.head, "provider", None)
    if provider is None:
        yield counts
    else:
        counts["segmenter"] = 0
        segmented = provider._segmented

        def segment(images: Sequence[Tensor], *more: Any) -> Any:
            counts["segmenter"] += len(images)
            return segmented(images, *more)

        with mock.patch.object(provider, "_segmented", segment):
            yield counts
    handle.remove()


def forget_objects(model: torch.nn.Module) -> None:
    """Let the provider of proposals, if there is one, find the objects of an image again."""
    provider = getattr(model.head, "provider", None)
    if provider is not None:
        provider._known = None


def literal_attention(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0, scale: float | None = None
) -> Tensor:
    """Return attention as its equation states it; without dropout."""
    scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    return (scores if attn_mask is None else scores + attn_mask).softmax(-1) @ v


def largest_difference(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """Return the largest difference between two lists of maps."""
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))


def miou_of_twin(options: dict[str, Any]) -> float:
    """Train LAVT tiny on drawn images; return mIoU of the validation images."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_config("lavt_refcoco", tiny=True, options=options)
        return train(loaded, work_dir=folder, device="cpu", seed=0)["metrics"]["ref/mIoU"]


if __name__ == "__main__":
    sys.exit(main())
