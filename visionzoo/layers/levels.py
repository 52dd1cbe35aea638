"""Levels of feature maps: which are returned, and what necks and heads ask of those that they are given."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from visionzoo.errors import ConfigError


def checked_indices(
    out_indices: Sequence[int], count: int, part: str, *, what: str = "stages", advice: str | None = None
) -> tuple[int, ...]:
    """The levels that a backbone returns.

    Args:
        out_indices: as given.
        count: of levels that there are.
        part: the backbone, for errors.
        what: the levels are.
        advice: by default to use all of them.

    Raises:
        ConfigError: there is none, or one that the backbone lacks, or they are not sorted.
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
    """Pixels per cell of ``count`` levels; where none are given, 4 and twice as many from level to level.

    Args:
        given: the strides, or None.
        count: of levels.
        part: which part is built, for errors.

    Raises:
        ConfigError: there is another number of strides.
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
    """Pass only levels, at least one, that have both channels and strides.

    Raises:
        ConfigError: the two do not belong together.
    """
    if not in_channels or len(in_channels) != len(in_strides):
        raise ConfigError(
            part,
            expected="as many in_strides as in_channels",
            found=f"{list(in_strides)} and {list(in_channels)}",
            advice="leave both out, they are filled in",
        )


def require_levels(feats: Sequence[Tensor], in_channels: Sequence[int], part: str) -> None:
    """Pass only one feature map for each entry of ``in_channels``.

    Raises:
        ConfigError: there is another number of maps.
    """
    if len(feats) != len(in_channels):
        raise ConfigError(
            part,
            expected=f"{len(in_channels)} feature maps (in_channels={list(in_channels)})",
            found=f"{len(feats)}",
            advice="make in_channels and the backbone's out_indices agree",
        )
