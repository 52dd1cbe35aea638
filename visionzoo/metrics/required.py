"""Values of a sample that a metric requires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.errors import DataError


def sample_name(sample: Mapping[str, Any], number: int) -> str:
    """Return the path of the sample's image, or ``sample <number>``.

    Example:
        >>> sample_name({"img_path": "a.jpg"}, 0), sample_name({}, 3)
        ('a.jpg', 'sample 3')
    """
    return str(sample.get("img_path") or f"sample {number}")


def required(sample: Mapping[str, Any], key: str, metric: str, name: str, advice: str | None = None) -> Any:
    """Return the value of ``key``.

    Args:
        sample: a data sample as a dict.
        key: key of the value. The model provides ``pred_...``, the data set all others.
        metric: name of the metric, the first words of the error message.
        name: name of the sample, see :func:`sample_name`.
        advice: advice of the error message. By default it names the part that must provide the value.

    Raises:
        DataError: the sample has no such value, or it is None.

    Example:
        >>> required({"gt_label": 2}, "gt_label", "ClassificationMetric", "a.jpg")
        2
    """
    value = sample.get(key)
    if value is None:
        source = "the model's head" if key.startswith("pred_") else "the data set, or meta_keys of PackTaskInputs,"
        raise DataError(
            metric,
            expected=f"{key} in every sample",
            found=f"none in {name}",
            advice=advice or f"{source} must provide it",
        )
    return value
