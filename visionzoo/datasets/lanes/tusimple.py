"""TuSimple's lane benchmark (2017): the 20th frame of short highway clips, with lanes as x at fixed rows.

See ``datasets/tusimple/README.md`` for the source of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from visionzoo.allowed import Few
from visionzoo.datasets.every_nth import Key, keys_by_folder
from visionzoo.datasets.lanes.slots import existence, lane_slots
from visionzoo.datasets.lanes.tusimple_files import read_tusimple
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError, require_none_missing
from visionzoo.registry import DATASETS

_ADVICE = advice("tusimple")


@DATASETS.register_module()
class TuSimpleDataset(SampleList):
    """Road images of TuSimple's label files.

    On disk::

        <data_root>/label_data_0313.json ...    {"raw_file": ..., "lanes": [[-2, 632, ...], ...], "h_samples": [...]}
        <data_root>/clips/0313-1/60/20.jpg ...

    A sample has these keys:

    - ``img_path``.
    - ``raw_file`` and ``h_samples``, a list of R int: as in the label file.
    - ``gt_x``: (N, R) float64, x of each lane at each row as stored; negative if the lane has no point there.
    - ``gt_lanes``: N arrays (n, 2) float64, the points (x, y) of each lane from top to bottom, in pixels.
    - ``gt_exist``: (K,) float32, 1 for each existing lane of the K lanes next to the car (see :func:`lane_slots`).

    Args:
        data_root: a folder, or ``tiny://tusimple?train=24&val=8&test=8&seed=0`` for drawn roads.
        label_files: label files of the split in ``data_root``. Usual: 0313 and 0601 for training, 0531 for validation.
        lanes: K, the number of lanes next to the car.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: label files or images are missing, a file is empty, a line is broken (see :func:`read_tusimple`),
            two lines name the same image, or no lane has enough points to be learned.

    Example:
        >>> root = "tiny://tusimple?train=2&val=1&test=1"
        >>> dataset = TuSimpleDataset(root, label_files="test_label.json", serialize_data=False)
        >>> dataset[0]["raw_file"], dataset[0]["gt_exist"].shape
        ('clips/0530/60/20.jpg', (4,))
    """

    METAINFO = {"classes": ("far left", "left", "right", "far right")}

    def __init__(
        self,
        data_root: str,
        label_files: str | Sequence[str] = ("label_data_0313.json", "label_data_0601.json"),
        lanes: Few = 4,
        **loading: Unpack[LoadingOptions],
    ):
        root = resolve_data_root(data_root)
        names = (label_files,) if isinstance(label_files, str) else tuple(label_files)
        super().__init__(root, _samples_of(root, names, lanes), **loading)

    @staticmethod
    def keys_of(samples: Sequence[dict[str, Any]]) -> list[Key]:
        """Return the folder of each frame, so that ``every`` and ``not_every`` keep the frames of a clip together."""
        return keys_by_folder([sample["raw_file"] for sample in samples])


def _samples_of(root: Path, names: Sequence[str], lanes: int) -> list[dict[str, Any]]:
    _require_labels(root, names)
    samples: dict[str, dict[str, Any]] = {}
    for name in names:
        for record in read_tusimple(root / name):
            raw_file = record["raw_file"]
            if raw_file in samples:
                raise DataError(
                    root / name,
                    expected="every image once",
                    found=f"{raw_file} again",
                    advice="remove one of its lines",
                )
            samples[raw_file] = _sample(root, record, lanes)
    missing = [name for name, sample in samples.items() if not Path(sample["img_path"]).is_file()]
    require_none_missing(
        missing,
        root,
        expected=f"the {len(samples)} images that {', '.join(names)} name",
        advice=f"unpack them again; {_ADVICE}",
    )
    if not any(sample["gt_exist"].any() for sample in samples.values()):
        raise DataError(
            root,
            expected=f"at least one lane of several points in {', '.join(names)}",
            found=f"none in {len(samples)} images",
            advice=_ADVICE,
        )
    return list(samples.values())


def _require_labels(root: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (root / name).is_file()]
    if missing or not names:
        known = ", ".join(sorted(path.name for path in root.glob("*.json"))) or "none"
        raise DataError(
            root,
            expected=f"the label files {', '.join(names) or '(none was named)'}",
            found=f"{', '.join(missing) or 'nothing'} missing (there: {known})",
            advice=f"{_ADVICE}",
        )


def _sample(root: Path, record: dict[str, Any], lanes: int) -> dict[str, Any]:
    rows = record["h_samples"]
    xs = np.asarray(record["lanes"], dtype=np.float64).reshape(-1, len(rows))
    points = [np.stack([x[x >= 0], np.asarray(rows, np.float64)[x >= 0]], axis=1) for x in xs]
    return {
        "img_path": str(root / record["raw_file"]),
        "raw_file": record["raw_file"],
        "h_samples": rows,
        "gt_x": xs,
        "gt_lanes": points,
        "gt_exist": existence(lane_slots(points, lanes)),
    }
