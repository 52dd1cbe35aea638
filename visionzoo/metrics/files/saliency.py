"""Saliency maps: S-measure, E-measure, F-measure, MAE and curves.

Both sides are folders of grey images with the same names, also in subfolders for groups.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from visionzoo.metrics.files._kind import FileKind, Measured


def measure(gt: Path, pred: Path, *, protocol: Literal["pysod", "gconet"] = "pysod") -> Measured:
    """Measure folders of saliency maps, one pair at a time.

    Args:
        gt: folder of masks.
        pred: folder of maps with the same names.
        protocol: see :func:`visionzoo.metrics.saliency.folders.score_folders`.

    Raises:
        DataError: a folder is missing, a file is only in one of them or cannot be read, sizes differ, or all masks are
            empty.
    """
    from visionzoo.metrics.saliency.folders import score_folders

    scores = score_folders(pred, gt, protocol, strict=True)
    return Measured({f"sal/{name}": value for name, value in scores.numbers.items()}, protocol=protocol)


KIND = FileKind(
    truth="folder of masks, 255 for salient pixels",
    prediction="folder of saliency maps with the same names",
    measure=measure,
    options={"protocol": "of PySODMetrics, or of GCoNet+ for groups"},
    examples=("--gt DUTS-TE/masks --pred maps", "--gt gts/CoCA --pred maps/CoCA --protocol gconet --out scores"),
)
