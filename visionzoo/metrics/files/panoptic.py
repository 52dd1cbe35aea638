"""Panoptic maps: PQ, SQ and RQ, and boundary PQ.

Both sides are annotation files with folders of PNG files, in any shape that the package reads: COCO, COCONut, results
of COCO's panoptic task. Images belong together by their ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visionzoo.errors import DataError, counted
from visionzoo.metrics.files._kind import FileKind, Measured
from visionzoo.metrics.files._pairs import require_same

if TYPE_CHECKING:
    from visionzoo.datasets.panoptic.files import PanopticFile, PanopticImage
    from visionzoo.structures.panoptic import PanopticMap


def measure(
    gt: Path,
    pred: Path,
    *,
    gt_masks: Path | None = None,
    pred_masks: Path | None = None,
    area: Literal["png", "json"] = "png",
    boundary: bool = False,
    boundary_ratio: float = 0.02,
) -> Measured:
    """Measure a panoptic prediction, one image at a time.

    Args:
        gt, pred: annotation files.
        gt_masks, pred_masks: folders of their PNG files. Default: by the names of published data sets.
        area, boundary, boundary_ratio: see :class:`PanopticQualityMetric`.

    Raises:
        DataError: a file is missing or has errors, an image or a category is only on one side, or the maps of an image
            differ in size.
    """
    from visionzoo.datasets.panoptic.files import in_label_order, label_of
    from visionzoo.datasets.panoptic.maps import folder_of_masks
    from visionzoo.datasets.panoptic.reading import read_panoptic
    from visionzoo.metrics.panoptic import AreaDifferences, PanopticQualityMetric, match_image, panoptic_numbers

    truth = read_panoptic(gt)
    found = read_panoptic(pred, truth.categories)
    _require_same_categories(truth, found)
    folders = gt_masks or folder_of_masks(gt), pred_masks or folder_of_masks(pred)
    labels = label_of(truth.categories)
    matches, differences = [], AreaDifferences()
    for true, other in _pairs(truth, found, gt, pred):
        maps = [_map(*side, labels) for side in zip(folders, (true, other), (truth, found), strict=True)]
        options = {"area": area, "boundary": boundary, "ratio": boundary_ratio, "where": true.place}
        matches.append(match_image(maps[0], maps[1], **options))  # type: ignore[arg-type]
        differences.add(matches[-1].areas)
    classes = in_label_order(truth.categories)
    names, things = [each.name for each in classes], sum(each.isthing for each in classes)
    numbers, tables = panoptic_numbers(matches, names, things)
    protocol = PanopticQualityMetric(boundary, area, boundary_ratio).protocol_text
    return Measured(
        {f"pq/{name}": value for name, value in numbers.items()},
        tables,
        protocol,
        tuple(text for text in (differences.said(area), _without_annotation(truth)) if text),
    )


def _require_same_categories(truth: PanopticFile, found: PanopticFile) -> None:
    """Raise DataError if the prediction uses a category that the truth lacks, or names otherwise."""
    known = truth.by_id
    for each in found.categories:
        other = known.get(each.id)
        if other is not None and other.name != each.name:
            raise DataError(
                found.where,
                expected=f"the categories of {truth.where}, where {each.id} is {other.name}",
                found=f"{each.name}",
                advice="name the prediction of this data set",
            )


def _pairs(
    truth: PanopticFile, found: PanopticFile, gt: Path, pred: Path
) -> Sequence[tuple[PanopticImage, PanopticImage]]:
    true, other = ({f"{image.id}": image for image in side.annotated} for side in (truth, found))
    require_same(other, true, pred, gt)
    return [(image, other[key]) for key, image in true.items()]


def _map(folder: Path, image: PanopticImage, file: PanopticFile, labels: Any) -> PanopticMap:
    """Read a map with class indices, and with the areas that the file states."""
    from visionzoo.datasets.panoptic.maps import map_in, with_stated_areas

    panoptic = map_in(folder, image, file.where).with_categories(labels, f"{file.where}: {image.place}")
    return with_stated_areas(panoptic, image.segments)


def _without_annotation(truth: PanopticFile) -> str:
    count = len(truth.images) - len(truth.annotated)
    return f"{counted(count, 'image')} of the truth without annotation left out" if count else ""


KIND = FileKind(
    truth="panoptic annotations: panoptic_val2017.json, coconut_s.json, a folder of COCONut-XL",
    prediction="panoptic results in the same format",
    measure=measure,
    options={
        "gt_masks": "folder of the PNG files of the truth (default: by the name of --gt)",
        "pred_masks": "folder of the PNG files of the prediction (default: by the name of --pred)",
        "area": "areas of the truth: counted in the PNG, or those of the JSON, as panopticapi takes them",
        "boundary": "also measure boundary PQ",
        "boundary_ratio": "width of boundaries as a share of the image's diagonal",
    },
    examples=(
        "--gt annotations/panoptic_val2017.json --pred results/panoptic.json",
        "--gt relabeled_coco_val.json --pred panoptic.json --boundary --out scores",
    ),
)
