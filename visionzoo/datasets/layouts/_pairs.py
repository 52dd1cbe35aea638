"""Folders of images beside folders of masks."""

from __future__ import annotations

from collections.abc import Sequence

from visionzoo.datasets.layouts._base import ALL, split_of
from visionzoo.datasets.layouts._listing import Listing, inside

# Names in lower case.
IMAGE_SIDES = ("images", "image", "imgs", "img", "jpegimages")
MASK_SIDES = (
    "masks",
    "mask",
    "gts",
    "gt",
    "labels",
    "label",
    "ground_truth",
    "groundtruth",
    "annotations",
    "instances",
)


def sides(listing: Listing, base: str = "") -> tuple[str, str] | None:
    """Return the folder of images and the folder of masks in a folder, or None."""
    image, mask = (_first(listing, base, names) for names in (IMAGE_SIDES, MASK_SIDES))
    return (image, mask) if image and mask else None


def _first(listing: Listing, base: str, names: Sequence[str]) -> str | None:
    present = {name.lower(): name for name in listing.folders(base)}
    return next((inside(base, present[name]) for name in names if name in present), None)


def pairs(listing: Listing) -> dict[str, tuple[str, str]]:
    """Return the folders of images and of masks of each split.

    They are ``images/`` and ``masks/``, ``train/images/`` and ``train/masks/``, or ``images/train/`` and
    ``masks/train/``. Both folders contain images.
    """
    both = sides(listing)
    if both is None:
        inner = {split_of(name): sides(listing, name) for name in listing.folders() if split_of(name) != ALL}
        found = {split: pair for split, pair in inner.items() if pair}
    elif listing.images(both[0]):
        found = {ALL: both}
    else:
        names = [name for name in listing.folders(both[0]) if name in listing.folders(both[1])]
        found = {split_of(name): (f"{both[0]}/{name}", f"{both[1]}/{name}") for name in names if split_of(name) != ALL}
    return {split: pair for split, pair in found.items() if all(map(listing.images, pair))}


def lists(listing: Listing) -> list[str]:
    """Return the splits that have a list ``<split>.txt`` in the folder."""
    return [split for split in ("train", "val", "test") if listing.has(f"{split}.txt")]
