"""Semantic maps: IoU, accuracy and boundary IoU of classes.

Both sides are folders of images with one class index for each pixel; files belong together by their names. The truth
may be panoptic annotations too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from visionzoo.errors import ConfigError
from visionzoo.metrics.files._kind import FileKind, Measured
from visionzoo.metrics.files._pairs import named_files, paired_files, require_same

if TYPE_CHECKING:
    import numpy as np

_IGNORED = 255


def measure(
    gt: Path,
    pred: Path,
    *,
    gt_masks: Path | None = None,
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
        gt: a folder, or panoptic annotations; classes are then their categories, things first.
        pred: a folder; names are those of ``gt``, or those of the PNG files of the annotations.
        gt_masks: for panoptic annotations, folder of the PNG files. Default: by the name of the file.
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

    if gt.is_file():
        names, pairs = _of_panoptic(gt, gt_masks, pred, pred_suffix)
    else:
        names = _names_of(classes)
        pairs = _of_folders(gt, pred, gt_suffix, pred_suffix, reduce_zero_label=reduce_zero_label)
    images = []
    for true, truth, found in pairs:
        where = f"{true} and {found}"
        counts = count_pixels(truth, read_ids(found), len(names), boundary=boundary, ratio=boundary_ratio, where=where)
        images.append(counts)
    scores = semantic_scores(images, names, definition, boundary=boundary)
    protocol = SemanticMetric(definition, boundary, boundary_ratio).protocol_text
    numbers = {f"sem/{name}": value for name, value in scores.numbers.items()}
    return Measured(numbers, {"semantic": scores.per_class}, protocol)


Pairs = Iterator[tuple[Path, "np.ndarray", Path]]  # file and map of the truth, and file of the prediction


def _of_folders(gt: Path, pred: Path, gt_suffix: str, pred_suffix: str, *, reduce_zero_label: bool) -> Pairs:
    from visionzoo.datasets.mask_files import read_ids

    for true, found in paired_files(gt, pred, gt_suffix=gt_suffix, pred_suffix=pred_suffix).values():
        yield true, _reduced(read_ids(true)) if reduce_zero_label else read_ids(true), found


def _of_panoptic(gt: Path, masks: Path | None, pred: Path, pred_suffix: str) -> tuple[list[str], Pairs]:
    """Return the names of the categories, and the maps of classes of panoptic annotations."""
    from visionzoo.datasets.panoptic.files import in_label_order, label_of
    from visionzoo.datasets.panoptic.maps import folder_of_masks, map_in
    from visionzoo.datasets.panoptic.reading import read_panoptic

    file, found = read_panoptic(gt), named_files(pred, suffix=pred_suffix)
    folder, labels = masks or folder_of_masks(gt), label_of(file.categories)
    names = {Path(image.mask or "").with_suffix("").as_posix(): image for image in file.annotated}
    require_same(found, names, pred, gt, "maps")
    maps = (
        (folder / f"{image.mask}", map_in(folder, image, gt).with_categories(labels).class_map(_IGNORED), found[name])
        for name, image in names.items()
    )
    return [each.name for each in in_label_order(file.categories)], maps


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
    truth="folder of maps with one class index for each pixel, 255 for no label; or panoptic annotations",
    prediction="folder of maps with the same names",
    measure=measure,
    options={
        "gt_masks": "panoptic annotations: folder of the PNG files (default: by the name of --gt)",
        "classes": "folders: number of classes, or a text file with one name in each line (required)",
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
