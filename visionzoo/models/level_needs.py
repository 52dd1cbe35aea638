"""How many feature maps a head reads at least, as its class and its config declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from visionzoo.models.part_configs import resolved, takes

# Transformer levels of mmdet's heads with masks, if the config states none.
_TRANSFORMER_LEVELS = 3


def has_strided_decoder(head: Mapping[str, Any]) -> bool:
    """Return True if a head has a pixel decoder that takes the strides of its maps."""
    decoder = head.get("pixel_decoder")
    return isinstance(decoder, Mapping) and "type" in decoder and takes(decoder, "strides")


def least_levels(head: Mapping[str, Any]) -> int:
    """Return the smallest number of feature maps that a head accepts.

    It is the largest of ``LEAST_LEVELS`` of the class, the transformer levels of a pixel decoder, and what the indices
    ``in_index`` need.

    Args:
        head: config of the head.

    Example:
        >>> least_levels({"type": "HMoDEHead"}), least_levels({"type": "mmseg.FCNHead", "in_index": 2})
        (2, 3)
    """
    needs = [getattr(resolved(head), "LEAST_LEVELS", 1)]
    if has_strided_decoder(head):
        needs.append(head.get("num_transformer_feat_level", _TRANSFORMER_LEVELS))
    index = head.get("in_index")
    indices = index if isinstance(index, Sequence) else [] if index is None else [index]
    return max([*needs, *(i + 1 if i >= 0 else -i for i in indices)])
