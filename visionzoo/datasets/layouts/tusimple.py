"""TuSimple: one JSON object for each frame, in label files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.datasets.every_nth import keys_by_folder
from visionzoo.datasets.lanes.tusimple_files import read_tusimple
from visionzoo.datasets.layouts._base import ALL, Found, Layout, Split, split_of
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._tables import first_line

# The files of the benchmark, of which 0531 is for validation.
_TRAIN, _VAL = {"label_data_0313.json", "label_data_0601.json"}, "label_data_0531.json"


def _recognise(listing: Listing) -> bool:
    return bool(_files(listing))


def _files(listing: Listing) -> dict[str, list[str]]:
    names = [name for name in listing.files("", (".json", ".jsonl")) if _is_labels(listing, name)]
    splits: dict[str, list[str]] = {}
    for name in names:
        is_val = name == _VAL and _TRAIN & set(names)
        splits.setdefault("val" if is_val else split_of(name), []).append(name)
    if len(splits) > 1 and ALL in splits:
        splits["train"] = splits.get("train", []) + splits.pop(ALL)
    return splits


def _is_labels(listing: Listing, name: str) -> bool:
    line = first_line(listing.root / name)
    return all(f'"{key}"' in line for key in ("raw_file", "lanes", "h_samples"))


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    splits = {}
    for split, names in _files(listing).items():
        frames = [record["raw_file"] for name in names for record in read_tusimple(listing.root / name)]
        splits[split] = Split({"label_files": names}, keys_by_folder(frames))
    return Found("TuSimpleDataset", splits, unit="frame")


LAYOUT = Layout(
    label="TuSimple",
    tree="label_data_*.json with raw_file, lanes and h_samples, and the frames",
    tasks=("lanes",),
    example="scnn_tusimple",
    recognise=_recognise,
    read=_read,
    types=("TuSimpleDataset",),
)
