"""Images with id maps, whose pixels are the numbers of the instances."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from visionzoo.datasets.id_maps import images_of, to_coco
from visionzoo.datasets.layouts._base import ALL, Layout
from visionzoo.datasets.layouts._converted import name_below, read_converted
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._pairs import lists, pairs


def _recognise(listing: Listing) -> bool:
    return any(listing.files(masks, (".png",)) for _, masks in pairs(listing).values())


def _records(root: Path) -> dict[str, dict]:
    listing, records = Listing(root), {}
    folders = pairs(listing)
    named = lists(listing) if folders.keys() == {ALL} else []
    for split in named or folders:
        images, maps = folders[ALL if named else split]
        found = images_of(root, root / f"{split}.txt" if named else None, img_folder=images, map_folder=maps)
        records[split] = to_coco(found)
        name_below(root, records[split], [file for file, _ in found])
    return records


LAYOUT = Layout(
    label="images and id maps",
    tree="imgs/ and instances/*.png, whose pixels are instance numbers",
    tasks=("instances",),
    example="connnet_mask_rcnn",
    recognise=_recognise,
    read=partial(read_converted, "id_maps"),
    records=_records,
)
