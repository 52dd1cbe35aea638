"""What necks and heads ask of the levels that they are given."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from visionzoo.errors import ConfigError


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
