"""CVAT for images: one XML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionzoo.datasets.cvat import read_cvat
from visionzoo.datasets.layouts._base import Found, Layout
from visionzoo.datasets.layouts._converted import found_in, records_below
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._tables import contains


def _recognise(listing: Listing) -> bool:
    return any(
        contains(listing.root / name, b"<annotations>", b"<image ") for name in listing.files("", (".xml",))[:20]
    )


def _records(root: Path) -> dict[str, dict]:
    return records_below(root, read_cvat(root))


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    return found_in(listing.root, "cvat", LAYOUT)


LAYOUT = Layout(
    label="CVAT xml",
    tree="annotations.xml and images/",
    tasks=("detection", "instances"),
    example="rcnet_mask_rcnn",
    recognise=_recognise,
    read=_read,
    records=_records,
)
