"""What a metric needs of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.errors import DataError


def sample_name(sample: Mapping[str, Any], number: int) -> str:
    """The path of its image, or ``sample <number>``."""
    return str(sample.get("img_path") or f"sample {number}")


def required(sample: Mapping[str, Any], key: str, metric: str, name: str, advice: str | None = None) -> Any:
    """The value of ``key``.

    Args:
        sample: a data sample as a dict.
        key: ``pred_...`` are what the model gives, all others what the data set does.
        metric: begins the error's text.
        name: of the sample, see :func:`sample_name`.
        advice: None says who has to give the value.

    Raises:
        DataError: the sample has no such value.
    """
    value = sample.get(key)
    if value is None:
        source = "the model's head" if key.startswith("pred_") else "the data set, or meta_keys of PackTaskInputs,"
        raise DataError(
            metric,
            expected=f"{key} in every sample",
            found=f"none in {name}",
            advice=advice or f"{source} has to give it",
        )
    return value
