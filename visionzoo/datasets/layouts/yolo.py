"""YOLO: one text file for each image, with one object in each line."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from visionzoo.datasets.layouts._base import Layout
from visionzoo.datasets.layouts._converted import read_converted, records_below
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._tables import first_line, lines_of
from visionzoo.datasets.yolo import read_yolo

_SNIFFED = 20
_LABELS = re.compile(r"(^|/)(labels|train|val|valid|validation|test)$|^$")
_LINE = re.compile(r"\d{1,4}(\s+-?[01]?(\.\d+)?(e-\d+)?){4,}\s*")
_OTHER_LINE = re.compile(r"[^\s,]+([\s,]+-?\d*\.?\d+){4,}\s*")  # in pixels or with commas, which the reader reports
_KEY = re.compile(r"(train|val|names)\s*:")


def _recognise(listing: Listing) -> bool:
    folders = [name for name in listing.below(depth=2) if _LABELS.search(name) or "labels/" in name]
    return _has_config(listing) or any(_has_labels(listing, name) for name in folders)


def _has_config(listing: Listing) -> bool:
    """Return True for a data.yaml with the keys train and names, or val and names."""
    found = (set(_keys(listing.root / name)) for name in listing.files("", (".yaml", ".yml")))
    return any("names" in keys and len(keys) > 1 for keys in found)


def _keys(path: Path) -> list[str]:
    return [match[1] for match in map(_KEY.match, lines_of(path)) if match]


def _has_labels(listing: Listing, folder: str) -> bool:
    line = _OTHER_LINE if folder.split("/")[0] == "labels" else _LINE
    return any(
        line.fullmatch(first_line(listing.root / folder / name)) for name in listing.files(folder, (".txt",))[:_SNIFFED]
    )


def _records(root: Path) -> dict[str, dict]:
    return records_below(root, read_yolo(root))


LAYOUT = Layout(
    label="YOLO txt",
    tree="data.yaml or classes.txt, images/ and labels/*.txt, also with train/ and val/",
    tasks=("detection", "instances"),
    example="rcnet_retinanet",
    recognise=_recognise,
    read=partial(read_converted, "yolo"),
    records=_records,
)
