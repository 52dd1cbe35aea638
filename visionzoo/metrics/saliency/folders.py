"""Scores of predictions on disk: one image per prediction, of the name that its mask has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from visionzoo.errors import DataError, require_none_missing
from visionzoo.metrics.saliency.scores import PairScores, SaliencyScores, score_pair
from visionzoo.structures.image_names import IMAGE_ENDINGS


@dataclass(frozen=True)
class FolderScores:
    """What two folders give.

    Attributes:
        numbers: see :meth:`SaliencyScores.summary`; ``images`` says how many pairs were scored.
        scores: the sums behind them, with the curves.
        without_prediction: names of masks that nothing was compared with, ``<group>/<name>.png``.
        without_mask: names of predictions that nothing was compared with.
        per_image: on request, scores by name.
    """

    numbers: dict[str, float]
    scores: SaliencyScores
    without_prediction: tuple[str, ...]
    without_mask: tuple[str, ...]
    per_image: dict[str, PairScores] = field(default_factory=dict)


def score_folders(
    pred_root: str | Path,
    gt_root: str | Path,
    protocol: str = "pysod",
    measures: Sequence[str] | None = None,
    *,
    strict: bool = False,
    per_image: bool = False,
) -> FolderScores:
    """Compare ``pred_root/<group>/<name>.png`` with ``gt_root/<group>/<name>.png``, or flat folders without groups.

    Every image counts once, whatever its group. Images are read one pair at a time, colours as grey.

    Args:
        pred_root: predictions. Like masks: PNG, JPEG or BMP, names equal with their endings.
        gt_root: masks, 255 for foreground.
        protocol: ``pysod`` or ``gconet``.
        measures: see :func:`score_pair`.
        strict: refuse to score when either side has names that the other lacks; the published tools skip them.
        per_image: also keep the scores of each pair.

    Raises:
        DataError: no folder, no common name, an unreadable image, or under ``strict`` a name on one side alone.
    """
    pred_root, gt_root = Path(pred_root), Path(gt_root)
    predictions, masks = _names(pred_root), _names(gt_root)
    only_masks, only_predictions = sorted(masks - predictions), sorted(predictions - masks)
    if strict:
        _require_all(only_masks, pred_root, gt_root)
        _require_all(only_predictions, gt_root, pred_root)
    if not predictions & masks:
        raise DataError(
            pred_root,
            expected=f"images named as those of {gt_root}",
            found=f"no common name among {len(predictions)} and {len(masks)}",
            advice="check both folders",
        )
    scores, rows = SaliencyScores(), {}
    for name in sorted(predictions & masks):
        pair = score_pair(_read(pred_root / name), _read(gt_root / name), protocol, measures, where=name)
        scores.add(pair)
        if per_image:
            rows[name] = pair
    return FolderScores(scores.summary(), scores, tuple(only_masks), tuple(only_predictions), rows)


def _names(root: Path) -> set[str]:
    """``<name>`` and ``<group>/<name>`` of all images."""
    if not root.is_dir():
        raise DataError(root, expected="a folder of images", found="none", advice="check the path")
    paths = (path for pattern in ("*", "*/*") for path in root.glob(pattern) if path.suffix.lower() in IMAGE_ENDINGS)
    return {path.relative_to(root).as_posix() for path in paths}


def _require_all(missing: Sequence[str], lacks: Path, has: Path) -> None:
    require_none_missing(
        missing,
        lacks,
        expected=f"all images that {has} has",
        advice="complete the folder or score without strict",
    )


def _read(path: Path) -> np.ndarray:
    """(H, W) uint8 grey."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            path, expected="a readable image", found=f"{error}", advice="write or download it again"
        ) from error
