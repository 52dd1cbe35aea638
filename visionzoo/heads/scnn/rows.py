"""Image rows at which lanes are sampled: those of CULane or TuSimple, or custom ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

from visionzoo.errors import ConfigError, require_known
from visionzoo.ops.lane_points import Rows

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
