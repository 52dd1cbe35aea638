"""Points of objects in JSON lines or CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.layouts._base import NO_CATEGORIES, Found, Layout, Split
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._tables import columns_of, files_in, first_line, lines_of, one_per_split, tables_with


def _recognise(listing: Listing) -> bool:
    return bool(_files(listing))


def _files(listing: Listing) -> list[str]:
    lines = files_in(listing, (".jsonl", ".ndjson"))
    return tables_with(listing, ("image", "x", "y")) + [name for name in lines if _is_points(listing, name)]


def _is_points(listing: Listing, name: str) -> bool:
    line = first_line(listing.root / name)
    return '"image"' in line and '"points"' in line


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    splits = {}
    for split, name in one_per_split(listing, _files(listing)).items():
        images = list(dict.fromkeys(_images_of(listing, name)))
        folder = listing.folder_with(images[:20], near=name.rpartition("/")[0])
        splits[split] = Split({"ann_file": name, "img_folder": folder or ""}, keys_of(images))
    return Found("PointsDataset", splits, options=NO_CATEGORIES)


def _images_of(listing: Listing, name: str) -> list[str]:
    """Return the images of the lines that can be read; the data set reports the others."""
    path = listing.root / name
    lines = lines_of(path)
    if name.lower().endswith(".csv"):
        return _cells(lines, columns_of(path).index("image"))
    return [image for image in map(_image_of, lines) if image]


def _cells(lines: list[str], column: int) -> list[str]:
    separator = max(",;\t", key=lines[0].count)
    rows = (line.split(separator) for line in lines[1:])
    return [row[column].strip().strip('"').replace("\\", "/") for row in rows if len(row) > column]


def _image_of(line: str) -> str:
    try:
        return str(json.loads(line)["image"]).replace("\\", "/")
    except (ValueError, TypeError, KeyError):
        return ""


LAYOUT = Layout(
    label="points",
    tree="*.csv with the columns image, x and y, or *.jsonl with image and points, and the images",
    tasks=("counting",),
    example="hmode_shanghaitech_a",
    recognise=_recognise,
    read=_read,
    columns=("image", "x", "y"),
)
