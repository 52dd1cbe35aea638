"""Scores of predictions on disk. A prediction and its mask are two images of the same name in two folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from visionzoo.datasets.mask_files import read_grey
from visionzoo.errors import DataError, require_none_missing
from visionzoo.metrics.saliency.scores import PairScores, SaliencyScores, report_empty_masks, score_pair
from visionzoo.structures.image_names import IMAGE_ENDINGS, is_left_over


@dataclass(frozen=True)
class FolderScores:
    """Scores of a folder of predictions.

    Attributes:
        numbers: see :meth:`SaliencyScores.summary`; ``images`` is the number of scored pairs.
        scores: the sums from which the numbers are computed, with the curves.
        without_prediction: names of masks without a prediction, ``<group>/<name>.png``.
        without_mask: names of predictions without a mask.
        per_image: scores by name; empty unless requested.
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

    Every image counts once, independent of its group. Images are read one pair at a time and converted to grey.

    Args:
        pred_root: folder of predictions: PNG, JPEG or BMP, with the same names and suffixes as the masks.
        gt_root: folder of masks in these formats, 255 for foreground.
        protocol: ``pysod`` or ``gconet``.
        measures: see :func:`score_pair`.
        strict: True to raise an error if a name is only in one folder. The published tools skip such names.
        per_image: True to keep the scores of each pair.

    Returns:
        The scores, and the names that are only in one folder.

    Raises:
        DataError: a folder is missing, there is no common name, an image is unreadable, or ``strict`` is set and a
            name is only in one folder, or all masks are empty.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 3), 255).save(f"{folder}/a.png")
        ...     score_folders(folder, folder, measures=["MAE"]).numbers
        {'MAE': 0.0, 'images': 1.0}
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
    scores, rows, empty = SaliencyScores(), {}, []
    for name in sorted(predictions & masks):
        prediction, mask = read_grey(pred_root / name, "a prediction"), read_grey(gt_root / name)
        pair = score_pair(prediction, mask, protocol, measures, where=name)
        scores.add(pair)
        empty += [name] if pair.is_empty else []
        if per_image:
            rows[name] = pair
    report_empty_masks(gt_root, empty, scores.images)
    return FolderScores(scores.summary(), scores, tuple(only_masks), tuple(only_predictions), rows)


def _names(root: Path) -> set[str]:
    """Return the names of all images, ``<name>`` or ``<group>/<name>``."""
    if not root.is_dir():
        raise DataError(root, expected="a folder of images", found="none", advice="check the path")
    paths = (path for pattern in ("*", "*/*") for path in root.glob(pattern) if _is_image(path))
    return {path.relative_to(root).as_posix() for path in paths}


def _require_all(missing: Sequence[str], lacks: Path, has: Path) -> None:
    require_none_missing(
        missing,
        lacks,
        expected=f"all images that {has} has",
        advice="complete the folder, or leave the others out of both",
    )


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_ENDINGS and not is_left_over(path.name) and not is_left_over(path.parent.name)
