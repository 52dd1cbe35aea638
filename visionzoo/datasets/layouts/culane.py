"""CULane: lists of frames, and lanes in .lines.txt beside the frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.datasets.every_nth import keys_by_folder
from visionzoo.datasets.lanes.culane_files import SCENARIOS, read_list
from visionzoo.datasets.layouts._base import Found, Layout, Split
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.structures.image_size import size_of_file

_LISTS = {"train": ("train_gt",), "val": ("val", "val_gt"), "test": ("test",)}


def _recognise(listing: Listing) -> bool:
    return bool(_lists(listing))


def _lists(listing: Listing) -> dict[str, str]:
    names = {name.removesuffix(".txt") for name in listing.files("list", (".txt",))}
    found = {split: next((name for name in known if name in names), None) for split, known in _LISTS.items()}
    return {split: name for split, name in found.items() if name}


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    splits, images = {}, list[str]()
    for split, name in _lists(listing).items():
        images = [image.name for image in read_list(listing.root / "list" / f"{name}.txt")]
        splits[split] = Split({"split": name, "with_lanes": split != "train"}, keys_by_folder(images))
    if len(listing.files("list/test_split", (".txt",))) == len(SCENARIOS) and "test" in splits:
        splits["test"].settings["split"] = "test_split"
    if "val" not in splits and "train" in splits:
        splits["train"].settings["with_lanes"] = True  # the same list is also used for validation
    return Found("CULaneDataset", splits, unit="frame", options=_metric(listing, images))


def _metric(listing: Listing, images: list[str]) -> dict[str, Any]:
    """Return the settings of the metric for frames of another size than CULane's."""
    path = listing.root / images[0]
    if not path.is_file():
        return {}
    width, height = size_of_file(path)
    settings = {"image_size": (width, height), "lane_width": max(1, round(30 * width / 1640))}
    return {f"{place}.{key}": value for place in ("val_evaluator", "test_evaluator") for key, value in settings.items()}


LAYOUT = Layout(
    label="CULane",
    tree="list/train_gt.txt, the frames and their *.lines.txt",
    tasks=("lanes",),
    example="scnn_culane",
    recognise=_recognise,
    read=_read,
    types=("CULaneDataset",),
)
