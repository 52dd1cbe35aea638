"""Checks of feature levels: the returned indices of a backbone, and the strides and channels of necks and heads."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from visionzoo.errors import ConfigError


def checked_indices(
    out_indices: Sequence[int], count: int, part: str, *, what: str = "stages", advice: str | None = None
) -> tuple[int, ...]:
    """Return the indices of the feature maps that a backbone returns, as a tuple.

    Args:
        out_indices: the indices from the config.
        count: number of levels in the backbone.
        part: name of the backbone, for the error.
        what: the word for the levels in the error.
        advice: advice of the error. The default is to use all levels.

    Raises:
        ConfigError: the indices are empty, out of range, repeated or not in ascending order.
    """
    indices = tuple(out_indices)
    if not indices or list(indices) != sorted(set(indices) & set(range(count))):
        raise ConfigError(
            f"{part}.out_indices",
            expected=f"{what} from 0 to {count - 1}, shallow first",
            found=f"{list(indices)}",
            advice=advice or f"use {tuple(range(count))}",
        )
    return indices


def strides_of_levels(given: Sequence[int] | None, count: int, part: str) -> tuple[int, ...]:
    """Return the strides of all levels.

    Args:
        given: the strides from the config. None means 4 for the first level and twice the stride for each next one.
        count: number of levels.
        part: name of the part, for the error.

    Raises:
        ConfigError: the number of strides differs from ``count``.
    """
    if given is None:
        return tuple(4 * 2**level for level in range(count))
    if len(given) != count:
        raise ConfigError(
            f"{part}.in_strides",
            expected=f"one per level, {count}",
            found=f"{list(given)}",
            advice="leave it out, then it is filled in",
        )
    return tuple(given)


def require_strides(in_channels: Sequence[int], in_strides: Sequence[int], part: str) -> None:
    """Check that there is at least one level, and one stride for each level.

    Raises:
        ConfigError: there is no level, or the two lengths differ.
    """
    if not in_channels or len(in_channels) != len(in_strides):
        raise ConfigError(
            part,
            expected="as many in_strides as in_channels",
            found=f"{list(in_strides)} and {list(in_channels)}",
            advice="leave both out, they are filled in",
        )


def require_levels(feats: Sequence[Tensor], in_channels: Sequence[int], part: str) -> None:
    """Check that there is one feature map for each entry of ``in_channels``.

    Raises:
        ConfigError: the number of feature maps differs.
    """
    if len(feats) != len(in_channels):
        raise ConfigError(
            part,
            expected=f"{len(in_channels)} feature maps (in_channels={list(in_channels)})",
            found=f"{len(feats)}",
            advice="make in_channels and the backbone's out_indices agree",
        )
