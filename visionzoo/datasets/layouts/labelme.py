"""labelme: one JSON file for each image."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from visionzoo.datasets.labelme import read_labelme
from visionzoo.datasets.layouts._base import Layout
from visionzoo.datasets.layouts._converted import read_converted, records_below
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._tables import contains, files_in


def _recognise(listing: Listing) -> bool:
    files = files_in(listing, (".json",))[:20]
    return any(contains(listing.root / name, b'"shapes"', b'"imagePath"') for name in files)


def _records(root: Path) -> dict[str, dict]:
    return records_below(root, read_labelme(root))


LAYOUT = Layout(
    label="labelme",
    tree="*.json beside the images, also in train/ and val/",
    tasks=("detection", "instances"),
    example="rcnet_mask_rcnn",
    recognise=_recognise,
    read=partial(read_converted, "labelme"),
    records=_records,
)
