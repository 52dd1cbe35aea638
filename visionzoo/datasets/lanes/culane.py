"""CULane (Pan et al., AAAI 2018): frames of six drives, with lanes as points and, for training, as masks.

See ``datasets/culane/README.md`` for the source of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from visionzoo.datasets.every_nth import Key, keys_by_folder
from visionzoo.datasets.lanes.culane_files import SCENARIOS, read_all_lines, read_list, scenario_of
from visionzoo.datasets.missing_files import advice, missing_files
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError, in_cwd, nearest_or_known, require_none_missing
from visionzoo.registry import DATASETS
from visionzoo.structures.lane_files import lines_path

ALL_SCENARIOS = "test_split"
_ADVICE = advice("culane")


@DATASETS.register_module()
class CULaneDataset(SampleList):
    """Road images of a CULane list.

    On disk::

        <data_root>/list/train_gt.txt                       /<frame> /<mask> 1 1 1 0, with or without leading slashes
        <data_root>/list/test.txt                           /<frame>
        <data_root>/list/test_split/test0_normal.txt ...    /<frame>, nine lists
        <data_root>/driver_37_30frame/<clip>.MP4/00000.jpg
        <data_root>/driver_37_30frame/<clip>.MP4/00000.lines.txt    x y x y ..., one lane per line
        <data_root>/laneseg_label_w16/<the same>/00000.png          0, and 1 to 4 from the left

    A sample has these keys:

    - ``img_path``.
    - ``name``: the path in the list, without the leading slash.
    - ``scenario``: ``normal``, ``crowd``, ..., or None.
    - ``gt_lanes``: list of (n, 2) float64 points (x, y) in pixels of the original image, as stored. Points may be
      outside the image, and lanes may have 0 (a blank line), 1 or 2 points.
    - ``gt_path``, the mask, and ``gt_exist``, (K,) float32 of 0 and 1; only in lists for training.

    The constructor reads lists and lanes, and checks that images and masks exist.

    Args:
        data_root: a folder, or ``tiny://culane?train=24&val=8&test=18&seed=0`` for drawn roads.
        split: name of a list in ``list`` or ``list/test_split``; ``test_split`` joins the nine scenarios.
        with_lanes: read ``.lines.txt``; training needs only masks.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: lists, images, masks or ``.lines.txt`` are missing, a list is empty, a line has another format, or
            a list for training has no lane in any image.

    Example:
        >>> dataset = CULaneDataset("tiny://culane?train=2&val=1&test=9&width=164", "test_split", serialize_data=False)
        >>> [sample["scenario"] for sample in dataset][:3]
        ['normal', 'crowd', 'hlight']
    """

    METAINFO = {"classes": ("far left", "left", "right", "far right")}

    def __init__(
        self,
        data_root: str,
        split: str = "train_gt",
        with_lanes: bool = True,
        **loading: Unpack[LoadingOptions],
    ):
        root = resolve_data_root(data_root)
        lists = _lists(root, split)
        samples = [sample for path in lists for sample in _samples_of(root, path)]
        for key, kind in (("img_path", "images"), ("gt_path", "masks")):
            paths = [sample[key] for sample in samples if key in sample]
            require_none_missing(
                missing_files(paths, root),
                root,
                expected=f"the {len(paths)} {kind} that the list names",
                advice=f"unpack them again; {_ADVICE}",
            )
        _require_lanes(samples, root / "list" / f"{split}.txt")
        if with_lanes:
            used = samples if loading.keys() & {"every", "not_every"} else samples[: loading.get("max_samples")]
            lanes = read_all_lines(root, [lines_path(sample["img_path"]) for sample in used])
            samples = [{**sample, "gt_lanes": points} for sample, points in zip(used, lanes, strict=True)]
        super().__init__(root, samples, **loading)

    @staticmethod
    def keys_of(samples: Sequence[dict[str, Any]]) -> list[Key]:
        """Return the folder of each frame, so that ``every`` and ``not_every`` keep the frames of a clip together."""
        return keys_by_folder([sample["name"] for sample in samples])


def _require_lanes(samples: list[dict[str, Any]], path: Path) -> None:
    exist = [sample["gt_exist"] for sample in samples if "gt_exist" in sample]
    if exist and not any(each.any() for each in exist):
        raise DataError(path, expected="at least one lane", found="0 in all columns", advice="use the authors' list")


def _lists(root: Path, split: str) -> list[Path]:
    """Return the list files of a split."""
    folder = root / "list"
    if not folder.is_dir():
        raise DataError(
            root, expected="CULane's folder list", found=f"no such folder{in_cwd(root)}", advice=f"{_ADVICE}"
        )
    scenarios = folder / ALL_SCENARIOS
    if split == ALL_SCENARIOS:
        paths = [scenarios / f"test{number}_{name}.txt" for number, name in enumerate(SCENARIOS)]
        require_none_missing(
            [path.name for path in paths if not path.is_file()],
            scenarios,
            expected=f"the lists of {len(paths)} scenarios",
            advice="copy them again, or name one list as split",
        )
        return paths
    known = {path.stem: path for place in (scenarios, folder) for path in sorted(place.glob("*.txt"))}
    if split not in known:
        answer = nearest_or_known(split, known, most=16)
        raise DataError(folder, expected=f"the list {split}.txt", found="none", advice=answer)
    return [known[split]]


def _samples_of(root: Path, path: Path) -> list[dict[str, Any]]:
    scenario = scenario_of(path.stem)
    samples = []
    for image in read_list(path):
        sample: dict[str, Any] = {"img_path": str(root / image.name), "name": image.name, "scenario": scenario}
        if image.mask is not None:
            sample |= {"gt_path": str(root / image.mask), "gt_exist": np.array(image.exist, dtype=np.float32)}
        samples.append(sample)
    return samples
