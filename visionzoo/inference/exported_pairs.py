"""Run an exported registration model: torch prepares the pairs and measures the fields, but does not run the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from visionzoo.errors import InputError
from visionzoo.structures.batch import Batch

Arrays = dict[str, np.ndarray]


def run_pairs(run: Callable[[Arrays], Arrays], metadata: Mapping[str, Any], data: Mapping[str, list[Any]]) -> list[Any]:
    """Return the samples with the fields that the model itself writes.

    Args:
        run: runs one pair, see :class:`visionzoo.graphs.registration_pairs.PairForm`.
        metadata: that of the file.
        data: ``inputs``, (2, 1, *S) for each pair, and ``data_samples``.

    Raises:
        InputError: a pair has another size than the file.
    """
    for images, sample in zip(data["inputs"], data["data_samples"], strict=True):
        shape = tuple(images.shape[2:])
        size, value = tuple(metadata["inputs"][0]["shape"][2:]), metadata["preprocessing"]["pad_value"]
        _require_size(shape, size, int(metadata["preprocessing"]["pad_divisor"]))
        pair = Batch(images.float(), [sample]).pairs()
        found = run({name: _padded(each.numpy(), size, value) for name, each in pair._asdict().items()})
        inside: Any = (0, slice(None), *map(slice, shape))
        for name, output in found.items():
            sample.set_field(torch.from_numpy(output[inside].copy()), f"pred_{name}")
    return data["data_samples"]


def _require_size(shape: Sequence[int], size: Sequence[int], divisor: int) -> None:
    padded = tuple(-(-side // divisor) * divisor for side in shape)
    if padded != tuple(size):
        sides = " ".join(map(str, padded))
        raise InputError(
            "pair",
            expected=f"images that are padded to {'x'.join(map(str, size))} voxels, the only size of the file",
            found="x".join(map(str, shape)),
            advice=f"export the model with --size {sides}",
        )


def _padded(image: np.ndarray, size: Sequence[int], value: float) -> np.ndarray:
    widths = [(0, 0)] * 2 + [(0, side - own) for side, own in zip(size, image.shape[2:], strict=True)]
    return np.pad(image, widths, constant_values=value)
