"""Image rows at which lanes are sampled: those of CULane or TuSimple, or custom ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from visionzoo.errors import ConfigError, require_known
from visionzoo.ops.lane_points import MISSING, lanes_of_maps


@dataclass(frozen=True)
class Rows:
    """Settings that turn probability maps into polylines; see :func:`lanes_of_maps`.

    All pixels refer to an image of ``size``.

    Attributes:
        kind: ``culane`` or ``tusimple``.
        size: (H, W) of the data set's images.
        gap: pixels between two rows, >= 1.
        points: number of rows, >= 2.
        smooth: blur the maps first.
        threshold: only points whose probability exceeds it are used.
    """

    kind: str
    size: tuple[int, int]
    gap: int
    points: int
    smooth: bool = True
    threshold: float = 0.3

    def lanes(self, prob: np.ndarray, exists: Sequence[bool], ori_size: Sequence[int]) -> list[np.ndarray | None]:
        """Return None or (n, 2) points (x, y) for each lane, from bottom to top in pixels of the original image.

        Args:
            prob: (K + 1, h, w) probabilities of the whole image.
            exists: K values, True for lanes to return.
            ori_size: (H, W) of the original image.
        """
        lanes = lanes_of_maps(
            prob,
            exists,
            kind=self.kind,
            size=self.size,
            gap=self.gap,
            points=self.points,
            smooth=self.smooth,
            threshold=self.threshold,
        )
        factors = np.array([ori_size[1] / self.size[1], ori_size[0] / self.size[0]])
        return [None if lane is None else lane[lane[:, 0] != MISSING] * factors for lane in lanes]


# Rows of both benchmarks: every 20th of 590 rows and every 10th of 720.
KINDS = {
    "culane": Rows("culane", (590, 1640), gap=20, points=18),
    "tusimple": Rows("tusimple", (720, 1280), gap=10, points=56),
}


def rows_of(given: Mapping | None) -> Rows:
    """Build the rows of a config, which holds ``kind`` and the settings that differ from that benchmark.

    Raises:
        UnknownName: an unknown kind or setting.
        ConfigError: a number out of its range.

    Example:
        >>> rows_of({"kind": "tusimple", "gap": 20}).points
        56
    """
    chosen = dict(given or {})
    kind = chosen.pop("kind", "culane")
    require_known(kind, KINDS, "way of sampling rows")
    known = [field.name for field in fields(Rows)]
    for name in chosen:
        require_known(name, known, "setting of SCNNHead.rows")
    if "size" in chosen:
        chosen["size"] = tuple(chosen["size"])
    rows = replace(KINDS[kind], **chosen)
    if len(rows.size) != 2 or min(*rows.size, rows.gap) < 1 or rows.points < 2:
        raise ConfigError(
            "SCNNHead.rows",
            expected="size (H, W), gap >= 1 and points >= 2",
            found=f"{rows.size}, {rows.gap} and {rows.points}",
            advice="leave out settings that equal the benchmark's",
        )
    return rows
