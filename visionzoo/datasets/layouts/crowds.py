"""The published layouts of crowd data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.layouts._base import NO_CATEGORIES, Found, Layout, Split
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._tables import lines_of

Splits = dict[str, Split]


def _recognise(listing: Listing) -> bool:
    return any(find(listing, {}) for find in _SETS.values())


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    name, splits = next((name, found) for name, find in _SETS.items() if (found := find(listing, config)))
    options = {} if name == config.get("type") else NO_CATEGORIES
    return Found(name, splits, f"read as {name.removesuffix('Dataset')}", options=options)


def _split(listing: Listing, folder: str, **settings: Any) -> Split:
    return Split(settings, keys_of(listing.images(folder)))


def _shanghaitech(listing: Listing, config: Mapping[str, Any]) -> Splits:
    """Part A or B of a folder with both is that of the config, else A."""
    parts = {
        part: f"part_{part}{end}/"
        for part in "AB"
        for end in ("", "_final")
        if f"part_{part}{end}" in listing.folders()
    }
    part = config.get("part") if config.get("part") in parts else next(iter(parts), None)
    bases = {split: f"{parts.get(part or '', '')}{split}_data" for split in ("train", "test")}
    return {
        split: _split(listing, f"{base}/images", part=part, split=split)
        for split, base in bases.items()
        if listing.files(f"{base}/ground_truth", (".mat", ".h5"))
    }


def _jhu(listing: Listing, config: Mapping[str, Any]) -> Splits:
    splits = [split for split in ("train", "val", "test") if listing.files(f"{split}/gt", (".txt",))]
    return {split: _split(listing, f"{split}/images", split=split) for split in splits}


def _nwpu(listing: Listing, config: Mapping[str, Any]) -> Splits:
    if not listing.files("mats", (".mat",)) and not listing.files("jsons", (".json",)):
        return {}
    return _by_list(listing, {split: f"{split}.txt" for split in ("train", "val")})


def _trancos(listing: Listing, config: Mapping[str, Any]) -> Splits:
    names = {"train": "training", "val": "validation", "test": "test"}
    return _by_list(listing, {split: f"image_sets/{name}.txt" for split, name in names.items()})


def _by_list(listing: Listing, files: Mapping[str, str]) -> Splits:
    names = {split: lines_of(listing.root / name) for split, name in files.items() if listing.has(name)}
    return {split: Split({"split": split}, keys_of(each)) for split, each in names.items()}


def _qnrf(listing: Listing, config: Mapping[str, Any]) -> Splits:
    splits = {split: split.title() for split in ("train", "test")}
    return {s: _split(listing, f, split=s) for s, f in splits.items() if listing.files(f, ("_ann.mat",))}


def _ucf_cc_50(listing: Listing, config: Mapping[str, Any]) -> Splits:
    """The data set divides its 50 images by folds, of which the one of the config is measured."""
    if not listing.has("1_ann.mat") or not listing.has("50_ann.mat"):
        return {}
    keys = keys_of(listing.images())
    return {"train": Split({"split": "train"}, keys[10:]), "val": Split({"split": "test"}, keys[:10])}


_SETS: dict[str, Callable[[Listing, Mapping[str, Any]], Splits]] = {
    "ShanghaiTechDataset": _shanghaitech,
    "JHUCrowdDataset": _jhu,
    "NWPUCrowdDataset": _nwpu,
    "TRANCOSDataset": _trancos,
    "UCFQNRFDataset": _qnrf,
    "UCFCC50Dataset": _ucf_cc_50,
}

LAYOUT = Layout(
    label="a crowd data set as published",
    tree="the folders of ShanghaiTech, JHU-CROWD++, NWPU-Crowd, TRANCOS, UCF-QNRF or UCF_CC_50",
    tasks=("counting",),
    example="hmode_shanghaitech_a",
    recognise=_recognise,
    read=_read,
)
