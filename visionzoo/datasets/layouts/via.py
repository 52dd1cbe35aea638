"""VIA (VGG image annotator): one JSON or CSV file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from visionzoo.datasets.layouts._base import Layout
from visionzoo.datasets.layouts._converted import read_converted, records_below
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._tables import columns_of, contains
from visionzoo.datasets.via import read_via


def _recognise(listing: Listing) -> bool:
    return any(
        contains(listing.root / name, b'"regions"', b'"filename"') for name in listing.files("", (".json",))[:20]
    ) or any("region_shape_attributes" in columns_of(listing.root / name) for name in listing.files("", (".csv",)))


def _records(root: Path) -> dict[str, dict]:
    return records_below(root, read_via(root))


LAYOUT = Layout(
    label="VIA",
    tree="via_project.json or its CSV, and the images",
    tasks=("detection", "instances"),
    example="rcnet_mask_rcnn",
    recognise=_recognise,
    read=partial(read_converted, "via"),
    records=_records,
)
