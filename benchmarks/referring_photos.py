"""LAVT on photos with hand-written expressions: MiniLM's words against those of a GRU, both trained on the drawn twin.

    python benchmarks/referring_photos.py FOLDER                 # five minutes on one thread
    python benchmarks/referring_photos.py FOLDER --sheets OUT    # also one PNG of all results for each text encoder

FOLDER has the images 000000142238.jpg and 000000439180.jpg of COCO train2017 or val2017 with their panoptic PNG files,
and demo_image.jpg with demo_mask.png of COCONut, in any subfolders. MiniLM is frozen, see ``weights='minilm'`` of
``BertTextEncoder``; without its package only the GRU is measured.

Both models have seen nothing but coloured boxes and discs, so the numbers show no more than what transfers from the
twin. The numbers of a box in the middle that covers a quarter of the image stand beside them.

Measured on 29 November 2026 with the models of commit 08817e3, one seed, on one Intel Xeon core shared with other work:

    model               mIoU on the twin   mIoU on photos   oIoU on photos   nothing found
    box in the middle                  -            0.024            0.033         0 of 20
    GRU                            0.837            0.011            0.024         1 of 20
    MiniLM, frozen                 0.764            0.003            0.001        10 of 20

Neither model beats the box. On the sheets, the masks are areas of grass, wall or floor, not the objects.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from visionzoo import Inferencer
from visionzoo.config import load_config
from visionzoo.engine.training import train
from visionzoo.errors import CheckpointError
from visionzoo.metrics.referring import overlap_of, scores_of
from visionzoo.reports.images import edge_of
from visionzoo.structures.referred_masks import ReferredMask
from visionzoo.tasks.referring import draw_referred

# Image -> the file of its segments.
FILES = {"000000142238": "000000142238.png", "000000439180": "000000439180.png", "demo_image": "demo_mask.png"}
# Image id, segment id, phrase.
EXPRESSIONS = (
    ("000000142238", 2822390, "player with number 4 in the air on the right"),
    ("000000142238", 2035955, "player with number 17 in the air"),
    ("000000142238", 2628072, "leftmost player in blue"),
    ("000000142238", 2098642, "player with a black cap who stands on the left"),
    ("000000142238", 3476419, "player in black and white stripes at the right end"),
    ("000000142238", 16757838, "the white ball"),
    ("000000142238", 10025880, "green grass"),
    ("000000142238", 2330219, "large trees"),
    ("000000439180", 16306338, "the grey horse"),
    ("000000439180", 16761532, "horse on the far left"),
    ("000000439180", 15444403, "large dark horse right of the middle"),
    ("000000439180", 3608258, "man in a bright blue coat"),
    ("000000439180", 4596217, "small person in a yellow jacket"),
    ("000000439180", 6094848, "red truck on the left"),
    ("000000439180", 4725734, "rider on the left horse"),
    ("demo_image", 12, "large black television"),
    ("demo_image", 19, "vase with a pink flower on the right"),
    ("demo_image", 27, "woman in black"),
    ("demo_image", 17, "silver fridge"),
    ("demo_image", 29, "red vase beside the television"),
)
ENCODERS: dict[str, dict[str, Any]] = {
    "GRU": {},
    "MiniLM, frozen": {
        "model.text_encoder.type": "BertTextEncoder",
        "model.text_encoder.variant": "minilm",
        "model.text_encoder.weights": "minilm",
        "model.text_encoder.trained_layers": 0,
    },
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line for each text encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with the images and their segments")
    parser.add_argument("--only", choices=ENCODERS, help="one text encoder (default: all)")
    parser.add_argument("--sheets", type=Path, help="existing folder for one sheet of results for each text encoder")
    folder, only = (args := parser.parse_args(argv)).folder, args.only
    torch.set_num_threads(1)
    targets = [segment_mask(folder, image, segment) for image, segment, _ in EXPRESSIONS]
    report("box in the middle", [middle_box(target.shape) for target in targets], targets)
    for name, options in ENCODERS.items() if only is None else [(only, ENCODERS[only])]:
        with tempfile.TemporaryDirectory() as run:
            try:
                loaded = load_config("lavt_refcoco", tiny=True, options=options, allow_new=True)
                trained = train(loaded, work_dir=run, device="cpu")
            except CheckpointError as error:
                print(f"{name}: not measured: {error}", file=sys.stderr)
                continue
            inferencer = Inferencer(run, device="cpu")
            found = [
                inferencer.one(str(file_of(folder, f"{image}.jpg")), text=phrase).result
                for image, _, phrase in EXPRESSIONS
            ]
        report(f"{name} (twin: mIoU {trained['metrics']['ref/mIoU']:.3f})", [each.mask for each in found], targets)
        if args.sheets:
            sheet_of(folder, found, targets).save(args.sheets / f"{name.split(',')[0]}.png")
    return 0


def report(name: str, found: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> None:
    """Print the numbers of one model."""
    scores = scores_of([overlap_of(mask, target) for mask, target in zip(found, targets, strict=True)])
    empty = sum(not mask.any() for mask in found)
    shown = ", ".join(f"{key} {scores[key]:.3f}" for key in ("mIoU", "oIoU", "P@0.5"))
    print(f"{name}: {shown}; nothing found for {empty} of {len(found)}", flush=True)


def sheet_of(folder: Path, found: Sequence[ReferredMask], targets: Sequence[np.ndarray]) -> Image.Image:
    """Draw the results in four columns; a white line surrounds each target."""
    tiles = []
    for (image, _, _), result, target in zip(EXPRESSIONS, found, targets, strict=True):
        drawn = draw_referred(np.asarray(Image.open(file_of(folder, f"{image}.jpg")).convert("RGB")), result).copy()
        drawn[edge_of(target)] = 255
        tiles.append(np.asarray(Image.fromarray(drawn).resize((480, 320))))
    return Image.fromarray(np.vstack([np.hstack(tiles[first : first + 4]) for first in range(0, len(tiles), 4)]))


def segment_mask(folder: Path, image: str, segment: int) -> np.ndarray:
    """Return the mask of a segment, (H, W) bool, from a PNG file whose colours are numbers in base 256."""
    colours = np.asarray(Image.open(file_of(folder, FILES[image])).convert("RGB")).astype(int)
    mask = colours @ [1, 256, 256**2] == segment
    if not mask.any():
        raise SystemExit(f"{FILES[image]}: expected segment {segment}, found none; use COCO's panoptic files")
    return mask


def file_of(folder: Path, name: str) -> Path:
    """Return the first file of a name in a folder and its subfolders."""
    path = next(iter(sorted(folder.rglob(name))), None)
    if path is None:
        raise SystemExit(f"{folder}: expected {name} in it, found none; give the folder with the images")
    return path


def middle_box(size: Sequence[int]) -> np.ndarray:
    """Return a box in the middle that covers a quarter of an image."""
    mask = np.zeros(size, bool)
    mask[size[0] // 4 : 3 * size[0] // 4, size[1] // 4 : 3 * size[1] // 4] = True
    return mask


if __name__ == "__main__":
    sys.exit(main())
