"""Images with one mask each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.layouts._base import ALL, Found, Layout, Split
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._pairs import lists, pairs
from visionzoo.datasets.layouts._tables import lines_of
from visionzoo.structures.image_names import IMAGE_ENDINGS, without_ending


def _recognise(listing: Listing) -> bool:
    return bool(_folders(listing))


def _folders(listing: Listing) -> dict[str, tuple[str, str]]:
    return pairs(listing) or ({ALL: ("", "")} if _is_side_by_side(listing) else {})


def _is_side_by_side(listing: Listing) -> bool:
    """Return True if each 1.jpg of the folder has its mask 1.png beside it, as in MSRA-B."""
    images, masks = (
        {Path(name).stem for name in listing.files("", ending)} for ending in ((".jpg", ".jpeg"), (".png",))
    )
    return bool(images) and images == masks


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    folders = _folders(listing)
    splits = {split: _split(listing, None, *pair) for split, pair in folders.items()}
    if folders.keys() == {ALL}:
        splits = {split: _split(listing, split, *folders[ALL]) for split in lists(listing)} or splits
    return Found("SaliencyDataset", splits, "one mask each")


def _split(listing: Listing, split: str | None, images: str, masks: str) -> Split:
    names = sorted({without_ending(name) for name in listing.files(images, IMAGE_ENDINGS)})
    if split is not None:
        names = [without_ending(name) for name in lines_of(listing.root / f"{split}.txt")]
    return Split({"split": split, "img_folder": images, "gt_folder": masks}, keys_of(names))


LAYOUT = Layout(
    label="images and masks",
    tree="images/ and masks/ with equal names, also in train/ and val/",
    tasks=("saliency",),
    example="connnet_r50",
    recognise=_recognise,
    read=_read,
)
