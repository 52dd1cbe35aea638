"""Semantic maps: IoU, accuracy and boundary IoU of classes.

Both sides are folders of images with one class index for each pixel; files belong together by their names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from visionzoo.errors import ConfigError
from visionzoo.metrics.files._kind import FileKind, Measured
from visionzoo.metrics.files._pairs import paired_files

if TYPE_CHECKING:
    import numpy as np

_IGNORED = 255


def measure(
    gt: Path,
    pred: Path,
    *,
    classes: str | None = None,
    definition: Literal["detectron2", "mmseg"] = "detectron2",
    boundary: bool = False,
    boundary_ratio: float = 0.02,
    reduce_zero_label: bool = False,
    gt_suffix: str = "",
    pred_suffix: str = "",
) -> Measured:
    """Measure folders of semantic maps, one pair at a time.

    Args:
        gt, pred: folders.
        classes: number of classes, or a text file with one name in each line.
        definition, boundary, boundary_ratio: see :class:`SemanticMetric`.
        reduce_zero_label: True if 0 in the truth means no label and k + 1 is class k, as in ADE20K.
        gt_suffix, pred_suffix: see :func:`paired_files`.

    Raises:
        ConfigError: ``classes`` is missing, or is neither a number nor a file.
        DataError: a file is only in one folder, or cannot be read; maps differ in size or have other classes.
    """
    from visionzoo.datasets.mask_files import read_ids
    from visionzoo.metrics.semantic import SemanticMetric, count_pixels, semantic_scores

    names = _names_of(classes)
    images = []
    for true, found in paired_files(gt, pred, gt_suffix=gt_suffix, pred_suffix=pred_suffix).values():
        truth = _reduced(read_ids(true)) if reduce_zero_label else read_ids(true)
        where = f"{true} and {found}"
        counts = count_pixels(truth, read_ids(found), len(names), boundary=boundary, ratio=boundary_ratio, where=where)
        images.append(counts)
    scores = semantic_scores(images, names, definition, boundary=boundary)
    protocol = SemanticMetric(definition, boundary, boundary_ratio).protocol_text
    numbers = {f"sem/{name}": value for name, value in scores.numbers.items()}
    return Measured(numbers, {"semantic": scores.per_class}, protocol)


def _reduced(ids: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.where((ids == 0) | (ids == _IGNORED), _IGNORED, ids - 1)


def _names_of(classes: str | None) -> list[str]:
    from visionzoo.system.text_files import read_text

    expected, advice = "the number of classes, or a file with their names", "write --classes 150 or --classes names.txt"
    if classes is None:
        raise ConfigError("--classes", expected=expected, found="none", advice=advice)
    if classes.isdecimal() and int(classes) > 0:
        return [str(number) for number in range(int(classes))]
    if not Path(classes).is_file():
        raise ConfigError("--classes", expected=expected, found=f"{classes!r}, which is neither", advice=advice)
    names = [line.strip() for line in read_text(classes, "names of classes", advice).splitlines() if line.strip()]
    if not names:
        raise ConfigError(classes, expected="one name in each line", found="an empty file", advice=advice)
    return names


KIND = FileKind(
    truth="folder of maps with one class index for each pixel, 255 for pixels that do not count",
    prediction="folder of maps with the same names",
    measure=measure,
    options={
        "classes": "number of classes, or a text file with one name in each line (required)",
        "definition": "means over the classes of the truth, or as in mmseg",
        "boundary": "also measure the IoU of boundaries",
        "boundary_ratio": "width of boundaries as a share of the image's diagonal",
        "reduce_zero_label": "0 in the truth means no label, and k + 1 is class k, as in ADE20K",
        "gt_suffix": "end of the names of the truth before the ending, such as _gtFine_labelTrainIds",
        "pred_suffix": "end of the names of the prediction before the ending",
    },
    examples=(
        "--gt annotations/validation --pred maps --classes 150 --reduce-zero-label",
        "--gt maps --pred results --classes names.txt --definition mmseg --boundary",
    ),
)
