"""Drawn images in the files of CIFAR-10: ``cifar-10-batches-py/{data_batch_1..5,test_batch,batches.meta}``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from visionzoo.datasets.tiny.cifar_files import draw_batch, write_pickle

VERSION = 1
DEFAULTS = {"train": 200, "val": 50, "seed": 0}
LOWEST = {"train": 5, "val": 1, "seed": 0}

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def draw(folder: Path, *, train: int, val: int, seed: int) -> None:
    """Draw the five training batches and the test batch into ``folder``; classes alternate.

    Args:
        folder: an empty folder.
        train: number of images of all five training batches.
        val: number of images of the test batch.
        seed: different seeds draw different images.
    """
    inside = folder / "cifar-10-batches-py"
    inside.mkdir()
    parts = np.array_split(np.arange(train), 5)
    for number, part in enumerate(parts, 1):
        name = f"training batch {number} of 5"
        write_pickle(inside / f"data_batch_{number}", _batch(name, [seed, 0], part.tolist()))
    write_pickle(inside / "test_batch", _batch("testing batch 1 of 1", [seed, 1], list(range(val))))
    meta = {"num_cases_per_batch": len(parts[0]), "label_names": list(CLASSES), "num_vis": 3072}
    write_pickle(inside / "batches.meta", meta)


def _batch(name: str, seeds: list[int], indices: list[int]) -> dict:
    labels = [index % len(CLASSES) for index in indices]
    names = [f"{CLASSES[label]}_s_{index:06d}.png" for index, label in zip(indices, labels)]
    data = draw_batch(seeds, indices, labels)
    return {"batch_label": name, "labels": labels, "data": data, "filenames": names}
