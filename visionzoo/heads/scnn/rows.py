"""On which rows of which image lanes are sampled: CULane's or TuSimple's, or others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from visionzoo.errors import ConfigError, require_known
from visionzoo.ops.lane_points import MISSING, lanes_of_maps


@dataclass(frozen=True)
class Rows:
    """How probability maps become polylines; see :func:`lanes_of_maps`. All pixels are of an image of ``size``.

    Attributes:
        kind: ``culane`` or ``tusimple``.
        size: (H, W) of the data set's images.
        gap: pixels between two rows.
        points: how many rows.
        smooth: blur maps before.
        threshold: what a point's probability is above.
    """

    kind: str
    size: tuple[int, int]
    gap: int
    points: int
    smooth: bool = True
    threshold: float = 0.3

    def lanes(self, prob: np.ndarray, exists: Sequence[bool], ori_size: Sequence[int]) -> list[np.ndarray | None]:
        """For every lane None or (n, 2) points (x, y) from the bottom up, in pixels of the original image.

        Args:
            prob: (K + 1, h, w), of the whole image.
            exists: K values.
            ori_size: (H, W) of the original image.
        """
        found = lanes_of_maps(
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
        return [None if lane is None else lane[lane[:, 0] != MISSING] * factors for lane in found]


# Rows of both benchmarks: every 20th of 590 and every 10th of 720.
KINDS = {
    "culane": Rows("culane", (590, 1640), gap=20, points=18),
    "tusimple": Rows("tusimple", (720, 1280), gap=10, points=56),
}


def rows_of(given: Mapping | None) -> Rows:
    """Settings of a config: ``kind`` and what differs from that benchmark's.

    Raises:
        UnknownName: an unknown kind or setting.
        ConfigError: numbers that no rows can have.
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
            expected="size (H, W), gap from 1 and points from 2 on",
            found=f"{rows.size}, {rows.gap} and {rows.points}",
            advice="leave out what the data set does not change",
        )
    return rows
