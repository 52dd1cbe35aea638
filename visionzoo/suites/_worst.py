"""The worst images of a data set: wrong for most models, with the highest confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.reports.images import label_font
from visionzoo.suites._geo_shift_tables import Scored

_LETTERS = 11


def hardest(models: Sequence[Scored], k: int, most: int) -> list[dict[str, Any]]:
    """Return rows of the images that most models get wrong at k, the worst first.

    Images that the same number of models gets wrong are sorted by the mean probability of the best class, the highest
    first, then by id. An image that all models get right is never listed.

    Args:
        models: models with results on one data set.
        k: of correct@k.
        most: number of rows.
    """
    wrong = np.stack([~each.at(k) for each in models])
    counts = wrong.sum(axis=0)
    sure = np.where(wrong, np.nan_to_num(np.stack([each.scores for each in models])), 0.0).sum(axis=0)
    samples = models[0].data.samples
    order = sorted(range(len(samples)), key=lambda at: (-counts[at], -sure[at], samples[at]["id"]))
    return [
        {
            **{name: models[0].head(k)[name] for name in ("data", "label_mode", "k")},
            "id": samples[at]["id"],
            "classes": ", ".join(map(str, samples[at]["classes"])),
            "region": samples[at].get("region", ""),
            "country": samples[at].get("country", ""),
            "wrong_models": int(counts[at]),
            "models": len(models),
            "confidence": float(sure[at] / counts[at]),
            "file": samples[at]["img_path"],
        }
        for at in order[:most]
        if counts[at]
    ]


def captioned(square: np.ndarray, row: Mapping[str, Any]) -> np.ndarray:
    """Return a square image with the class, the country and the number of wrong models at its lower edge.

    Args:
        square: (S, S, 3) uint8 RGB; it is not changed.
        row: a row of :func:`hardest`.
    """
    image = Image.fromarray(square)
    pen, font = ImageDraw.Draw(image), label_font(_LETTERS)
    texts = [f"{row['classes']}", f"{row['country']} ({row['wrong_models']}/{row['models']} wrong)"]
    top = image.height - len(texts) * (_LETTERS + 4) - 2
    pen.rectangle((0, top, image.width, image.height), fill=(255, 255, 255))
    for number, text in enumerate(texts):
        pen.text((3, top + number * (_LETTERS + 4)), text[:32], fill=(30, 30, 30), font=font)
    return np.asarray(image)
