"""Images and classes in a CSV file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.image_list import read_image_list
from visionzoo.datasets.layouts._base import Found, Layout, Split, classes_text
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._tables import one_per_split, tables_with


def _recognise(listing: Listing) -> bool:
    return bool(tables_with(listing, ("path", "label")))


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    files = one_per_split(listing, tables_with(listing, ("path", "label")))
    source = files.get("train", next(iter(files.values())))
    splits, classes = {}, set[str]()
    for split, name in files.items():
        images = read_image_list(listing.root / name, say_notes=False)
        folder = listing.folder_with(images.names[:20], near=name.rpartition("/")[0])
        settings = {"ann_file": name, "img_folder": folder or "", "classes_from": source}
        splits[split] = Split(settings, keys_of(images.names, images.labels))
        classes |= set(images.labels)
    return Found("ImageList", splits, classes_text(sorted(classes)), count=len(classes))


LAYOUT = Layout(
    label="class CSV",
    tree="train.csv and val.csv, or one *.csv, with the columns path and label",
    tasks=("classification",),
    example="dinat_mini_imagenet",
    recognise=_recognise,
    read=_read,
    columns=("path", "label"),
)
