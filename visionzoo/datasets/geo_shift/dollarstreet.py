"""DollarStreet: photos of household objects with region, country and income, from the data set's own tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from visionzoo.datasets.file_names import require_inside
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.geo_shift.labels import (
    LABEL_MODES,
    REGIONS_OF_DOLLARSTREET,
    TOPICS,
    TOPICS_OF_INDEX,
    income_group,
    region_of_id,
)
from visionzoo.datasets.geo_shift.rows import Sample, class_indices, listed, read_rows, require_unique_ids, with_files
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError, require_known
from visionzoo.registry import DATASETS
from visionzoo.system.csv_files import CsvRow

_COLUMNS = ("id", "country.name", "region.id", "imagerelpath", "topics", "place", "income", "imagenet_sysnet_id")
_INDEX_OF_TOPIC = {topic: at for at, topic in enumerate(TOPICS)}


@DATASETS.register_module()
class DollarStreet(SampleList):
    """Photos of the MLCommons release of DollarStreet, with any number of labels per image.

    On disk::

        <data_root>/images_v2_imagenet_test.csv           or in <data_root>/dataset_dollarstreet/
        <data_root>/assets/<id>/<file>.jpg

    A sample has ``img_path``, ``id``, ``gt_labels``, ``region``, ``country``, ``income_group``, ``household`` (column
    ``place``) and ``classes``, the topics that are its labels. Region and income group are derived from ``region.id``
    and ``income``. Rows without an image file are left out with a note.

    Args:
        data_root: a folder, or ``tiny://dollarstreet`` for drawn images.
        ann_file: the table, in ``data_root``.
        label_mode: ``1k``: class indices of the column ``imagenet_sysnet_id``; a row without any is an error.
            ``original``: indices of the 96 topics with a class in ImageNet; rows without such a topic are left out
            with a note.
        allow_outside: True to allow files outside ``data_root``.
        max_samples, pipeline, test_mode, serialize_data, max_refetch, every, not_every: see :class:`SampleList`.

    Raises:
        UnknownName: no such label mode.
        DataError: the table is missing, a row of it is wrong, two rows have one id, or no image exists. The message
            names the line and the id.

    Example:
        >>> dataset = DollarStreet("tiny://dollarstreet", serialize_data=False)
        >>> dataset[0]["region"], dataset[0]["income_group"]
        ('africa', 'Q4')
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str = "images_v2_imagenet_test.csv",
        label_mode: str = "1k",
        allow_outside: bool = False,
        **loading: Unpack[LoadingOptions],
    ):
        require_known(label_mode, LABEL_MODES, "label mode of DollarStreet")
        root = resolve_data_root(data_root)
        if not (root / ann_file).is_file() and (root / "dataset_dollarstreet" / ann_file).is_file():
            root = root / "dataset_dollarstreet"
        path = root / ann_file
        rows = read_rows(path, _COLUMNS, "table of DollarStreet", advice("dollarstreet"))
        with Findings(path, expected="rows of DollarStreet") as findings:
            samples = [sample for row in rows if (sample := _sample(row, label_mode, findings)) is not None]
        require_unique_ids(samples, path)
        require_inside([sample["file"] for sample in samples], root, root, path, allow_outside=allow_outside)
        if not samples:
            raise DataError(path, expected="a row with a label", found="none", advice="use label_mode='1k'")
        with Findings(path, expected="images of DollarStreet") as findings:
            kept = with_files(samples, [root], path, findings)
        super().__init__(root, kept, **loading)
        self._metainfo.update(
            regions=REGIONS_OF_DOLLARSTREET,
            label_mode=label_mode,
            data_set="dollarstreet",
            without_file=len(samples) - len(kept),
        )


def _sample(row: CsvRow, label_mode: str, findings: Findings) -> Sample | None:
    """Return the sample of a row; None if it is wrong, or has no label of this mode."""
    cells, entry = row.cells, f"line {row.line}: {row.cells['id']}"
    region, income = region_of_id(cells["region.id"]), _number(cells["income"])
    topics = listed(cells["topics"])
    if region is None:
        findings.wrong(entry, "region.id", expected="af, am, as or eu", found=shown(cells["region.id"]))
    if income is None:
        findings.wrong(entry, "income", expected="a number >= 0", found=shown(cells["income"]))
    if topics is None:
        findings.wrong(entry, "topics", expected="a list", found=shown(cells["topics"]))
    if not cells["id"] or not cells["imagerelpath"]:
        findings.wrong(entry, "row", expected="an id and an imageRelPath", found="an empty cell")
    names, labels = _labels(cells, label_mode, topics or [], entry, findings)
    if region is None or income is None or topics is None:
        return None
    if not labels:
        findings.note(f"rows without a label of mode {label_mode}, left out")
        return None
    known: dict[str, Any] = dict(id=cells["id"], line=row.line, file=cells["imagerelpath"].replace("\\", "/"))
    about = dict(region=region, country=cells["country.name"], income_group=income_group(income))
    return {**known, **about, "household": cells["place"] or cells["id"], "gt_labels": labels, "classes": names}


def _labels(
    cells: dict[str, str], label_mode: str, topics: Sequence[Any], entry: str, findings: Findings
) -> tuple[list[str], list[int]]:
    """Return the names and the indices of the labels of a row; both are empty if it has none."""
    known = [topic for topic in dict.fromkeys(topics) if topic in _INDEX_OF_TOPIC]
    if label_mode == "original":
        return known, [_INDEX_OF_TOPIC[topic] for topic in known]
    indices = class_indices(cells["imagenet_sysnet_id"])
    if not indices:
        findings.wrong(
            entry,
            "imagenet_sysnet_id",
            expected="a list of class indices from 0 to 999",
            found=shown(cells["imagenet_sysnet_id"]),
        )
        return [], []
    names = [topic for topic in known if any(topic in TOPICS_OF_INDEX.get(index, ()) for index in indices)]
    return names or [str(index) for index in indices], indices


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
