"""Masks of phrases: oIoU, mIoU and precision of RefCOCO, or the numbers of gRefCOCO.

Both sides are folders of masks with one file for each phrase and the same names, or tables of run lengths.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from visionzoo.errors import DataError
from visionzoo.metrics.files._kind import FileKind, Measured
from visionzoo.metrics.files._pairs import paired_files, require_once, require_same
from visionzoo.metrics.files._rows import Row, read_rows

if TYPE_CHECKING:
    import numpy as np

Mask = Callable[[], "np.ndarray"]  # reads the mask of one phrase


def measure(
    gt: Path, pred: Path, *, protocol: Literal["refcoco", "grefcoco"] = "refcoco", least_pixels: int = 0
) -> Measured:
    """Measure masks of phrases, one pair at a time.

    Args:
        gt, pred: folders of grey images, where levels above 127 are the mask; or tables with ``id`` and ``rle``, the
            run lengths of pycocotools.
        protocol, least_pixels: see :class:`ReferMetric`.

    Raises:
        DataError: a path is missing or has errors, a phrase is only on one side, or masks differ in size.
    """
    from visionzoo.metrics.referring import ReferMetric, overlap_of, scores_of

    masks = _of_folders(gt, pred) if gt.is_dir() and pred.is_dir() else _of_tables(gt, pred)
    overlaps = [
        overlap_of(found(), true(), least_pixels=least_pixels, where=f"{pred}: {name}") for name, true, found in masks
    ]
    numbers = {f"ref/{name}": value for name, value in scores_of(overlaps, protocol).items()}
    return Measured(numbers, protocol=ReferMetric(protocol, least_pixels=least_pixels).protocol_text)


def _of_folders(gt: Path, pred: Path) -> list[tuple[str, Mask, Mask]]:
    files = paired_files(gt, pred, what="masks")
    return [(name, partial(_mask_file, true), partial(_mask_file, found)) for name, (true, found) in files.items()]


def _of_tables(gt: Path, pred: Path) -> list[tuple[str, Mask, Mask]]:
    true, found = (_table(path) for path in (gt, pred))
    require_same(found, true, pred, gt, "phrases")
    return [(name, true[name], found[name]) for name in true]


def _table(path: Path) -> dict[str, Mask]:
    rows = read_rows(path, "masks of phrases")
    require_once((row.name for row in rows), path, "phrase")
    return {row.name: partial(_mask_of, row) for row in rows}


def _mask_of(row: Row) -> np.ndarray:
    from pycocotools import mask as masks

    rle = row.cells.get("rle", row.cells.get("segmentation"))
    try:
        if isinstance(rle["counts"], list):  # type: ignore[index]
            rle = masks.frPyObjects(rle, *rle["size"])  # type: ignore[index]
        return masks.decode(rle) != 0
    except Exception as error:  # pycocotools raises bare ones for damaged run lengths
        expected, advice = "run lengths with size and counts in rle", "write those of pycocotools"
        raise DataError(row.place, expected=expected, found=f"{rle!r:.40}", advice=advice) from error


def _mask_file(path: Path) -> np.ndarray:
    from visionzoo.datasets.mask_files import SALIENT_FROM, read_grey

    levels = read_grey(path)
    if levels.size and 0 < levels.max() <= SALIENT_FROM:
        found = f"{levels.max()} as the largest level"
        raise DataError(
            path, expected=f"a mask with levels above {SALIENT_FROM}", found=found, advice="write 0 and 255"
        )
    return levels > SALIENT_FROM


KIND = FileKind(
    truth="folder of masks (0 and 255), or table with id and rle for each phrase",
    prediction="the same, with the same names or ids",
    measure=measure,
    options={
        "protocol": "numbers of RefCOCO, or those of gRefCOCO with phrases that mean nothing",
        "least_pixels": "predictions with fewer pixels count as empty",
    },
    examples=("--gt masks --pred predicted_masks", "--gt truth.jsonl --pred results.jsonl --protocol grefcoco"),
)
