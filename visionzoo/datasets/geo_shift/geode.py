"""GeoDE: photos of 40 objects from six regions, and the metadata for its evaluation with classes of ImageNet.

The metadata are made from GeoDE's own index and the table of :mod:`visionzoo.datasets.geo_shift.labels`, by
``visionzoo convert geode``. The released file of Richards et al. has the same columns; its licence is CC BY-NC 4.0, so
it is read where a user has it, and is not part of visionzoo.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from visionzoo.datasets.file_names import require_inside
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.geo_shift.labels import (
    GEODE_INDICES,
    GEODE_OBJECTS,
    LABEL_MODES,
    REGIONS_OF_GEODE,
    object_name,
)
from visionzoo.datasets.geo_shift.rows import Sample, class_indices, read_rows, require_unique_ids, with_files
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError, require_known
from visionzoo.registry import DATASETS
from visionzoo.system.csv_files import CsvRow

METADATA = "metadata.csv"
AUTHORS_METADATA = "metadata_test_1k_final.csv"
_INDEX = ("file_path", "object", "region", "ip_country")
_ADDED = ("1k_index", "object_index", "id")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@DATASETS.register_module()
class GeoDE(SampleList):
    """Photos of GeoDE with one object each, which may have several class indices of ImageNet.

    On disk::

        <data_root>/images/<Region>/<Country>/<Country>_<object>_<nnn>.jpg
        <data_root>/metadata.csv                         of `visionzoo convert geode <data_root>/index.csv`

    A sample has ``img_path``, ``id``, ``gt_labels``, ``region``, ``country`` and ``classes``, its object. Rows without
    an image file are left out with a note.

    Args:
        data_root: a folder, or ``tiny://geode`` for drawn images.
        ann_file: the metadata, in ``data_root``; default: ``metadata.csv``, else ``metadata_test_1k_final.csv``.
        label_mode: ``1k``: class indices of the column ``1k_index``; the six objects without a class in ImageNet are
            left out with a note, and any other row without an index is an error. ``original``: the index of the object
            among all 40.
        allow_outside: True to allow files outside ``data_root``.
        max_samples, pipeline, test_mode, serialize_data, max_refetch, every, not_every: see :class:`SampleList`.

    Raises:
        UnknownName: no such label mode.
        DataError: the metadata are missing, a row is wrong, two rows have one id, or no image exists. The message names
            the line and the id.

    Example:
        >>> dataset = GeoDE("tiny://geode", label_mode="original", serialize_data=False)
        >>> dataset[0]["region"], dataset[0]["classes"]
        ('Africa', ['bag'])
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str | None = None,
        label_mode: str = "1k",
        allow_outside: bool = False,
        **loading: Unpack[LoadingOptions],
    ):
        require_known(label_mode, LABEL_MODES, "label mode of GeoDE")
        root = resolve_data_root(data_root)
        path = root / (ann_file or next((n for n in (METADATA, AUTHORS_METADATA) if (root / n).is_file()), METADATA))
        advised = f"run `visionzoo convert geode {root / 'index.csv'}`; {advice('geode')}"
        rows = read_rows(path, (*_INDEX, *_ADDED), "metadata of GeoDE", advised)
        with Findings(path, expected="rows of GeoDE") as findings:
            samples = [sample for row in rows if (sample := _sample(row, label_mode, findings)) is not None]
        require_unique_ids(samples, path)
        require_inside([sample["file"] for sample in samples], root, root, path, allow_outside=allow_outside)
        if not samples:
            raise DataError(path, expected="a row with a label", found="none", advice="use label_mode='original'")
        with Findings(path, expected="images of GeoDE") as findings:
            kept = with_files(samples, [root, root / "images"], path, findings)
        super().__init__(root, kept, **loading)
        self._metainfo.update(
            regions=REGIONS_OF_GEODE, label_mode=label_mode, data_set="geode", without_file=len(samples) - len(kept)
        )


def _sample(row: CsvRow, label_mode: str, findings: Findings) -> Sample | None:
    """Return the sample of a row; None if it is wrong, or if its object has no label of this mode."""
    cells, entry = row.cells, f"line {row.line}: {row.cells['id']}"
    name, region = object_name(cells["object"]), cells["region"]
    if name not in GEODE_INDICES:
        findings.wrong(entry, "object", expected="one of the 40 objects of GeoDE", found=shown(cells["object"]))
        return None
    if region not in REGIONS_OF_GEODE:
        findings.wrong(entry, "region", expected=", ".join(REGIONS_OF_GEODE), found=shown(region))
        return None
    if not cells["id"] or not cells["file_path"]:
        findings.wrong(entry, "row", expected="an id and a file_path", found="an empty cell")
        return None
    labels: list[int] | None = [GEODE_OBJECTS.index(name)]
    if label_mode == "1k":
        if not GEODE_INDICES[name]:
            findings.note("rows of objects without a class in ImageNet, left out")
            return None
        labels = class_indices(cells["1k_index"])
    if not labels:
        expected = "a list of class indices from 0 to 999"
        findings.wrong(entry, "1k_index", expected=expected, found=shown(cells["1k_index"]))
        return None
    known: dict[str, Any] = dict(id=cells["id"], line=row.line, file=cells["file_path"].replace("\\", "/"))
    return {**known, "region": region, "country": cells["ip_country"], "gt_labels": labels, "classes": [name]}


# --- metadata from GeoDE's index ---


def metadata_of_index(path: Path, *, share: float = 1.0, seed: int = 42) -> tuple[str, Counter[str]]:
    """Return metadata of GeoDE as CSV, made from its own index.

    Every column of the index is kept. ``1k_index`` and ``object_index`` come from the table of objects, and ``id`` is a
    hash of the path, ten letters.

    Args:
        path: ``index.csv`` of GeoDE.
        share: share of the images, above 0 and at most 1, chosen by image. The split of the paper is a fifth, whose
            images are known from its released file only; equal seeds choose equal images here.
        seed: seed of the choice.

    Returns:
        The text of the file, and the number of rows for each region and ``without a class in ImageNet``.

    Raises:
        DataError: the index is missing or a row of it is wrong, two rows have one path, or the share is not a share.
    """
    if not 0 < share <= 1:
        raise DataError("--share", expected="a number above 0 and at most 1", found=f"{share}", advice="use 0.2")
    rows = read_rows(path, _INDEX, "index of GeoDE", "get index.csv with the images of GeoDE")
    kept = _chosen(rows, share, seed)
    _check_index(kept, path)
    counts: Counter[str] = Counter()
    file = io.StringIO()
    columns = [name for name in rows[0].cells if name not in _ADDED]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, *_ADDED])
    for row in kept:
        name = object_name(row.cells["object"])
        counts[row.cells["region"]] += 1
        counts["without a class in ImageNet"] += not GEODE_INDICES[name]
        added = [str(list(GEODE_INDICES[name])), GEODE_OBJECTS.index(name), _id_of(row.cells["file_path"])]
        writer.writerow([*(row.cells[column] for column in columns), *added])
    return file.getvalue(), counts


def _chosen(rows: list[CsvRow], share: float, seed: int) -> list[CsvRow]:
    count = max(1, round(share * len(rows)))
    return [rows[at] for at in sorted(np.random.default_rng(seed).permutation(len(rows))[:count])]


def _check_index(rows: list[CsvRow], path: Path) -> None:
    seen: dict[str, int] = {}
    with Findings(path, expected="rows of GeoDE's index") as findings:
        for row in rows:
            entry, name = f"line {row.line}: {row.cells['file_path']}", object_name(row.cells["object"])
            if name not in GEODE_INDICES:
                findings.wrong(entry, "object", expected="one of the 40 objects", found=shown(row.cells["object"]))
            if row.cells["region"] not in REGIONS_OF_GEODE:
                expected = ", ".join(REGIONS_OF_GEODE)
                findings.wrong(entry, "region", expected=expected, found=shown(row.cells["region"]))
            first = seen.setdefault(row.cells["file_path"], row.line)
            if first != row.line:
                findings.wrong(entry, "file_path", expected="a path that no other row has", found=f"line {first} too")


def _id_of(path: str) -> str:
    """Return ten letters that depend on the path only."""
    number = int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest())
    return "".join(_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(10))
