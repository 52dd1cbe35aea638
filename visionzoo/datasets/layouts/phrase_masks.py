"""Phrases and masks as lines of JSON, with a split in each line or one file per split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.layouts._base import ALL, Found, Layout, Split, split_of
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._tables import first_line, one_per_split
from visionzoo.datasets.referring.phrase_masks import read_lines


def _recognise(listing: Listing) -> bool:
    return bool(_files(listing))


def _files(listing: Listing) -> list[str]:
    names = listing.files("", (".jsonl", ".ndjson"))
    words = [f'"{key}"' for key in ("image", "text", "mask")]
    return [name for name in names if all(word in first_line(listing.root / name) for word in words)]


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    splits: dict[str, Split] = {}
    for of_file, name in one_per_split(listing, _files(listing)).items():
        images: dict[str | None, list[str]] = {}
        for line in read_lines(listing.root / name):
            images.setdefault(line.get("split"), []).append(line["image"])
        for split, listed in images.items():
            settings = {"ann_file": name, "split": split}
            splits[of_file if split is None else split_of(split)] = Split(settings, keys_of(listed))
    if ALL in splits and len(splits) > 1:
        splits.setdefault("train", splits.pop(ALL))
    return Found("PhraseMaskDataset", splits, unit="phrase")


LAYOUT = Layout(
    label="phrases and masks",
    tree='phrases.jsonl with lines {"image": ..., "text": ..., "mask": ..., "split": ...}',
    tasks=("referring",),
    example="lavt_refcoco",
    recognise=_recognise,
    read=_read,
)
