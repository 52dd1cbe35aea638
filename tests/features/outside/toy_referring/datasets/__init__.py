"""Images with a coloured half, and phrases that name a colour, drawn on demand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.sample_list import SampleList
from visionzoo.registry import DATASETS

COLOURS = ("red", "green", "blue")


@DATASETS.register_module()
class ToyPhrases(SampleList):
    """Images of two colours, and the name of the left one."""

    def __init__(self, count: int = 8, **options: Any):
        samples = [{"scene_seed": index, "phrase": f"the {COLOURS[index % 3]} half"} for index in range(count)]
        super().__init__(Path("."), samples, **options)


def draw_scene(seed: int, phrase: str) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (12, 16, 3) uint8 RGB, and the mask of the phrase, (12, 16) uint8 of 0 and 255."""
    colour = COLOURS.index(phrase.split()[1])
    image = np.random.RandomState(seed).randint(0, 60, (12, 16, 3)).astype(np.uint8)
    image[:, :8, colour] += 190
    image[:, 8:, (colour + 1) % 3] += 190
    mask = np.zeros((12, 16), np.uint8)
    mask[:, :8] = 255
    return image, mask
