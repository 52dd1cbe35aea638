"""Images with a map of classes each, in folders of equal names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.layouts._base import Found, Layout, Split, classes_text
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._pairs import pairs
from visionzoo.datasets.semantic_folders import NAME_FILES, names_of


def _recognise(listing: Listing) -> bool:
    return any(map(listing.has, NAME_FILES)) and bool(pairs(listing))


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    names = names_of(listing.root, None)
    begins_at_one = listing.has(NAME_FILES[-1]) and not any(map(listing.has, NAME_FILES[:-1]))
    splits = {
        split: Split(
            {
                "img_folder": images,
                "seg_folder": maps,
                "classes": None,
                "reduce_zero_label": begins_at_one,
                "img_suffix": "",
                "seg_suffix": "",
            },
            keys_of(listing.images(images)),
        )
        for split, (images, maps) in pairs(listing).items()
    }
    return Found("SemanticFolders", splits, classes_text(names))


LAYOUT = Layout(
    label="images and maps of classes",
    tree="images/ and annotations/ with equal names, also in train/ and val/, and classes.txt",
    tasks=("semantic",),
    example="dinat_upernet_ade20k",
    recognise=_recognise,
    read=_read,
    is_likely=lambda listing: bool(pairs(listing)),  # the error of reading asks for the names of the classes
)
