"""CVAT for images: one XML file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from visionzoo.datasets.cvat import read_cvat
from visionzoo.datasets.layouts._base import Layout
from visionzoo.datasets.layouts._converted import read_converted, records_below
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._tables import contains


def _recognise(listing: Listing) -> bool:
    paths = [listing.root / name for name in listing.files("", (".xml",))[:20]]
    # The reader explains how to export tracks, which belong to videos.
    return any(contains(path, b"<annotations>", word) for path in paths for word in (b"<image ", b"<track "))


def _records(root: Path) -> dict[str, dict]:
    return records_below(root, read_cvat(root))


LAYOUT = Layout(
    label="CVAT xml",
    tree="annotations.xml and images/",
    tasks=("detection", "instances"),
    example="rcnet_mask_rcnn",
    recognise=_recognise,
    read=partial(read_converted, "cvat"),
    records=_records,
)
