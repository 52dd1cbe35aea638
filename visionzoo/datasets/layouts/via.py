"""VIA (VGG image annotator): one JSON or CSV file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionzoo.datasets.layouts._base import Found, Layout
from visionzoo.datasets.layouts._converted import found_in, records_below
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._tables import columns_of, contains
from visionzoo.datasets.via import read_via


def _recognise(listing: Listing) -> bool:
    return any(
        contains(listing.root / name, b'"regions"', b'"filename"') for name in listing.files("", (".json",))[:20]
    ) or any("region_shape_attributes" in columns_of(listing.root / name) for name in listing.files("", (".csv",)))


def _records(root: Path) -> dict[str, dict]:
    return records_below(root, read_via(root))


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    return found_in(listing.root, "via", LAYOUT)


LAYOUT = Layout(
    label="VIA",
    tree="via_project.json or its CSV, and the images",
    tasks=("detection", "instances"),
    example="rcnet_mask_rcnn",
    recognise=_recognise,
    read=_read,
    records=_records,
)
