"""Lines of JSON with an image, a phrase and a mask: the plain layout for other data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from visionzoo.datasets.file_names import path_problem
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.json_objects import parse_json
from visionzoo.datasets.missing_files import missing_files
from visionzoo.datasets.referring.segments import is_partly_outside, problem_of
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.transforms.masks import check_masks_of
from visionzoo.errors import DataError, require_none_missing
from visionzoo.registry import DATASETS
from visionzoo.structures.image_size import size_of_file
from visionzoo.system.text_files import read_text

LINE = '{"image": "a.jpg", "text": "left box", "mask": "masks/1.png", "split": "train"}'
_KEYS = ("image", "text", "mask")


@DATASETS.register_module()
class PhraseMaskDataset(SampleList):
    """Images, phrases and masks from a file of JSON lines.

    One line is one sample::

        {"image": "images/a.jpg", "text": "left red box", "mask": "masks/1.png", "split": "train"}

    ``image`` is a path below ``data_root``. ``mask`` is the path of a grey image, polygons or an RLE as in COCO, or
    null if the phrase means nothing in the image. ``split`` is optional.

    A sample has ``img_path``, ``img_id``, ``phrase``, and ``mask_path`` or ``segments``. ``LoadReferredMask`` reads the
    mask. The constructor checks all lines, and that the files exist; of the masks in files it reads some.

    Args:
        data_root: the folder.
        ann_file: the file in ``data_root``.
        split: lines of this split; None for all.
        max_samples, pipeline, test_mode, serialize_data, max_refetch, every, not_every: see :class:`SampleList`.

    Raises:
        DataError: the file has lines of another form, files are missing, or the split has no line.

    Example:
        >>> import json, tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> line = {"image": "a.png", "text": "left box", "mask": [[0, 0, 2, 0, 2, 2]]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(np.zeros((4, 6), np.uint8)).save(f"{folder}/a.png")
        ...     _ = Path(folder, "phrases.jsonl").write_text(json.dumps(line), encoding="utf-8")
        ...     PhraseMaskDataset(folder, "phrases.jsonl", serialize_data=False)[0]["phrase"]
        'left box'
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str = "phrases.jsonl",
        split: str | None = None,
        **loading: Unpack[LoadingOptions],
    ):
        root = resolve_data_root(data_root)
        path = root / ann_file
        samples = [_sample(line, root) for line in read_lines(path) if split is None or line.get("split") == split]
        if not samples:
            raise DataError(path, expected=f"lines of the split {split}", found="none", advice="correct split")
        paths = dict.fromkeys(each[key] for each in samples for key in ("img_path", "mask_path") if key in each)
        require_none_missing(
            missing_files(list(paths), root),
            path,
            expected=f"{len(paths)} images and masks",
            advice="copy them, or correct the paths, which begin in the folder of the data",
        )
        _check_masks(path, samples)
        super().__init__(root, samples, **loading)
        check_masks_of(self, path, [(each["img_path"], each["mask_path"]) for each in samples if "mask_path" in each])


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read and check the lines of a file.

    Raises:
        DataError: the file is missing, or a line has another form; the message has the first ones.
    """
    text = read_text(path, f"lines such as {LINE}", "check the path")
    lines = []
    with Findings(path, expected="lines with image, text and mask") as findings:
        for number, row in enumerate(text.splitlines(), start=1):
            if row.strip():
                lines.append(_line(row, f"line {number}", findings))
    if not lines:
        raise DataError(path, expected=f"lines such as {LINE}", found="an empty file", advice="write one line a phrase")
    return lines


def _line(row: str, place: str, findings: Findings) -> dict[str, Any]:
    try:
        line = parse_json(row, place)
    except DataError as error:
        findings.wrong(place, "line", expected=f"{error.expected}", found=f"{error.found}")
        return {}
    for key in _KEYS:
        if key not in line:
            findings.wrong(place, key, expected="a value (null for a phrase without a mask)", found="none")
    text, mask = line.get("text", ""), line.get("mask")
    if not isinstance(text, str):
        findings.wrong(place, "text", expected="one phrase; write one line for each phrase", found=shown(text))
    else:
        findings.note("empty phrases", not text.strip())
    for key, value in (("image", line.get("image", "a.jpg")), ("mask", mask if isinstance(mask, str) else "a.png")):
        if problem := path_problem(value):
            findings.wrong(place, key, expected="a path below the folder of the data", found=problem)
    if not isinstance(mask, str | list | dict | None):
        findings.wrong(place, "mask", expected="a path, polygons, an RLE or null", found=shown(mask))
    if not isinstance(line.get("split"), str | None):
        findings.wrong(place, "split", expected="a name", found=shown(line["split"]))
    return line


def _sample(line: Mapping[str, Any], root: Path) -> dict[str, Any]:
    path = os.path.join(root, line["image"])
    sample = {"img_path": path, "img_id": line["image"], "phrase": line["text"]}
    mask = line["mask"]
    if isinstance(mask, str):
        return {**sample, "mask_path": os.path.join(root, mask)}
    return {**sample, "segments": [] if mask is None else [mask]}


def _check_masks(path: Path, samples: list[dict[str, Any]]) -> None:
    """Check polygons and RLEs against the size of their image."""
    sizes: dict[str, tuple[int, int]] = {}
    with Findings(path, expected="masks in their images") as findings:
        for sample in samples:
            for segmentation in sample.get("segments", ()):
                image = sample["img_path"]
                if image not in sizes:
                    sizes[image] = size_of_file(image)
                width, height = sizes[image]
                problem = problem_of(segmentation, (height, width))
                if problem:
                    place = f"{shown(sample['img_id'])}, {shown(sample['phrase'])}"
                    findings.wrong(place, "mask", expected="a mask in the image", found=problem)
                else:
                    outside = is_partly_outside(segmentation, (height, width))
                    findings.note("polygons partly outside their image, cut off", outside)
