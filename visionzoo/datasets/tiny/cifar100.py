"""Drawn images in the files of CIFAR-100: ``cifar-100-python/{train,test,meta}``."""

from __future__ import annotations

from pathlib import Path

from visionzoo.datasets.tiny.cifar_files import draw_batch, write_pickle

VERSION = 1
DEFAULTS = {"train": 400, "val": 100, "seed": 0}
LOWEST = {"train": 1, "val": 1, "seed": 0}

_FINE, _COARSE = 100, 20


def draw(folder: Path, *, train: int, val: int, seed: int) -> None:
    """Draw both splits into ``folder``; the hundred classes, ``shape0_colour0`` and so on, alternate.

    Args:
        folder: an empty folder.
        train: number of training images.
        val: number of images of the file ``test``.
        seed: different seeds draw different images.
    """
    inside = folder / "cifar-100-python"
    inside.mkdir()
    for number, (split, count) in enumerate((("train", train), ("test", val))):
        indices = list(range(count))
        fine = [index % _FINE for index in indices]
        record = {
            "batch_label": f"{split}ing batch 1 of 1",
            "fine_labels": fine,
            "coarse_labels": [label % _COARSE for label in fine],
            "data": draw_batch([seed, number], indices, fine),
            "filenames": [f"{split}_{index:06d}.png" for index in indices],
        }
        write_pickle(inside / split, record)
    names = [f"shape{label // 10}_colour{label % 10}" for label in range(_FINE)]
    write_pickle(inside / "meta", {"fine_label_names": names, "coarse_label_names": [f"group{n}" for n in range(20)]})
