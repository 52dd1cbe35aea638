"""RefCOCO and its relatives: refs and instances in one folder, the images of COCO in another one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionzoo.datasets.coco_file import read_coco
from visionzoo.datasets.layouts._base import Found, Layout, Split
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.referring.refer import IMAGES
from visionzoo.datasets.referring.refs_file import Ref, read_refs, refs_file, refs_of_split
from visionzoo.errors import DataError, first_of

_REFS = re.compile(r"g?refs\((\w+)\)\.(p|json)")
_SAMPLED = 20


def _recognise(listing: Listing) -> bool:
    return bool(_sets(listing))


def _sets(listing: Listing) -> list[tuple[str, str]]:
    """Return folder and ``split_by`` of each file of refs, in the folder or in one below."""
    found = []
    for folder in ["", *listing.folders()]:
        matches = filter(None, map(_REFS.fullmatch, listing.files(folder)))
        if "instances.json" in listing.files(folder):
            found += [(folder, match[1]) for match in matches]
    return list(dict.fromkeys(found))


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    name, split_by = _chosen(listing, config)
    root = listing.root.resolve()
    if not name:  # the folder itself has the refs, and the images are beside or below it
        root, name = root.parent, root.name
    refs = read_refs(refs_file(root / name, split_by) or root)
    record = read_coco(root / name / "instances.json", say_notes=False)
    files = {image["id"]: image["file_name"] for image in record["images"]}
    place = {"data_root": str(root), "name": name, "split_by": split_by, "img_folder": _img_folder(root, files, config)}
    splits = {}
    for split in ("train", "val", "test"):
        chosen = _of_split(refs, split)
        if chosen:
            keys = [("", files.get(ref.image_id, "")) for ref in chosen]
            splits[split] = Split({**place, "split": split}, keys)
    splits = splits or {"all": Split({**place, "split": "all"}, [("", files.get(ref.image_id, "")) for ref in refs])}
    return Found("ReferDataset", splits, f"{name} ({split_by})", unit="ref")


def _of_split(refs: list[Ref], split: str) -> list[Ref]:
    return refs_of_split(refs, split, split) if any(split in ref.split for ref in refs) else []


def _chosen(listing: Listing, config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the only set, or the one that the config names."""
    known = _sets(listing)
    named = (config.get("name"), config.get("split_by"))
    if len(known) == 1:
        return known[0]
    if named in known:
        return known[known.index(named)]  # type: ignore[arg-type]
    raise DataError(
        listing.root,
        expected="one data set, or that of the config",
        found=first_of((f"{name}/refs({split_by})" for name, split_by in known), most=8),
        advice="pass the folder of one of them, or use its config",
    )


def _img_folder(root: Path, files: Mapping[Any, str], config: Mapping[str, Any]) -> str:
    names = list(files.values())
    sampled = names[:: max(1, len(names) // _SAMPLED)]
    folder = Listing(root).folder_with(sampled, near=config.get("img_folder") or IMAGES)
    if folder is None:
        raise DataError(
            os.path.join(root, IMAGES),
            expected="the images of the refs, or in another folder below",
            found=f"none of {first_of(sampled)}",
            advice="copy COCO's train2014 there, or link it",
        )
    return folder


LAYOUT = Layout(
    label="REFER",
    tree="refcoco/refs(unc).p and refcoco/instances.json, and the images in images/mscoco/images/train2014",
    tasks=("referring",),
    example="lavt_refcoco",
    recognise=_recognise,
    read=_read,
)
