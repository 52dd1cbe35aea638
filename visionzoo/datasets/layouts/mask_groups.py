"""Groups of images that share an object, with masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.datasets.co_saliency import TEST_SETS, TRAINING_SETS
from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.layouts._base import ALL, Found, Layout, Split, split_of
from visionzoo.datasets.layouts._listing import Listing, inside
from visionzoo.datasets.layouts._pairs import sides


def _recognise(listing: Listing) -> bool:
    return bool(_sets(listing))


def _sets(listing: Listing) -> dict[str, str]:
    """Return the folder of groups of each split; "" if the folder of images itself contains the groups."""
    both = sides(listing)
    if both is None:
        return {}
    images = both[0]
    if _groups(listing, images):
        return {ALL: ""}
    sets = [name for name in listing.folders(images) if _groups(listing, inside(images, name))]
    splits: dict[str, str] = {}
    for name in sets:
        splits.setdefault(_split_of(name), name)
    return {split: name for split, name in splits.items() if split != ALL}


def _split_of(name: str) -> str:
    return "train" if name in TRAINING_SETS else "val" if name in TEST_SETS else split_of(name)


def _groups(listing: Listing, folder: str) -> list[str]:
    return [name for name in listing.folders(folder) if listing.images(inside(folder, name))]


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    images, masks = sides(listing) or ("", "")
    splits = {}
    for split, name in _sets(listing).items():
        groups = _groups(listing, inside(images, name) if name else images)
        splits[split] = Split({"name": name, "images": images, "masks": masks}, keys_of(groups))
    return Found("CoSaliencyFolder", splits, unit="group")


LAYOUT = Layout(
    label="groups of images and masks",
    tree="images/GROUP/*.jpg and masks/GROUP/*.png",
    tasks=("co_saliency",),
    example="gconet_plus_vgg16bn",
    recognise=_recognise,
    read=_read,
)
