"""Volumes or slices to register: a list of pairs, two folders, an atlas and subjects, or a folder of images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.layouts._base import ALL, Found, Layout, Split, split_of
from visionzoo.datasets.layouts._image_patterns import (
    VOLUME_ENDINGS,
    Images,
    atlas_in,
    folder_called,
    images_in,
    images_of_subjects,
)
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._tables import files_in, first_line, one_per_split, tables_with
from visionzoo.datasets.registration import files_by_subject, read_pair_list, subjects_of
from visionzoo.datasets.volume_files import ENDINGS, ending_of
from visionzoo.datasets.volume_pairs import name_of_pair
from visionzoo.errors import DataError, first_of

# Names of folders in lower case.
_FIXED, _MOVING = ("fixed", "target", "reference"), ("moving", "source")
_IMAGES = ("images", "imagestr", "volumes", "scans", "subjects", "slices", "ixi-t1", "t1")

# All arguments of the data set; those without a value replace values of the config.
_NOTHING = dict.fromkeys(("fixed", "moving", "fixed_labels", "labels", "pairs"))
_PAIRING = {
    "all": "each {} with each other one (val: with the next one)",
    "next": "each {} with the next one",
    "same": "{} of each subject",
    "sorted": "{} in the order of their names",
    "atlas": "{}",
}


@dataclass(frozen=True)
class _Plan:
    """Arguments of ``RegistrationPairs``, and what they mean in words."""

    settings: dict[str, Any]
    words: str
    notes: list[str] = field(default_factory=list)


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    if _lists(listing):
        return Found("RegistrationPairs", _listed(listing), unit="pair")
    plans = {split: _plan(listing, base, config) for split, base in _bases(listing).items()}
    first = next(iter(plans.values()))
    pairing = first.settings["pairing"]
    return Found(
        "RegistrationPairs",
        {split: _split(listing, plan) for split, plan in plans.items()},
        first.words,
        unit="pair" if pairing in ("same", "sorted") else "image",
        notes=[*first.notes, *_tables_not_used(listing)],
        least=2 if pairing == "all" else 1,
    )


# --- lists of pairs ---


def _lists(listing: Listing) -> list[str]:
    texts = [name for name in files_in(listing, (".txt",)) if _is_list(listing, name)]
    return tables_with(listing, ("fixed", "moving")) + texts


def _is_list(listing: Listing, name: str) -> bool:
    words = first_line(listing.root / name).split()
    return len(words) == 2 and (words == ["fixed", "moving"] or all(ending_of(word) in ENDINGS for word in words))


def _listed(listing: Listing) -> dict[str, Split]:
    splits = {}
    for split, name in one_per_split(listing, _lists(listing)).items():
        path = listing.root / name
        pairs = read_pair_list(path, listing.root)
        files = [os.path.relpath(pair["fixed"], listing.root) for pair in pairs[:20]]
        folder = listing.folder_with(files, near=name.rpartition("/")[0]) or ""
        place = {"data_root": os.path.abspath(listing.root / folder), "pairs": os.path.abspath(path)}
        splits[split] = Split({**_NOTHING, "pairing": "all", **place}, keys_of([name_of_pair(pair) for pair in pairs]))
    return splits


def _tables_not_used(listing: Listing) -> list[str]:
    tables = files_in(listing, (".csv",))
    return [f"{first_of(tables)} not used, because a list of pairs has the columns fixed and moving"] if tables else []


# --- folders ---


def _recognise(listing: Listing) -> bool:
    return bool(_lists(listing)) or (_has(listing, VOLUME_ENDINGS) and _can_be_read(listing))


def _is_likely(listing: Listing) -> bool:
    """Return True also for 2-D images, which folders of other tasks have too."""
    return _has(listing, ENDINGS) and _can_be_read(listing)


def _has(listing: Listing, endings: Sequence[str]) -> bool:
    return any(listing.files(folder, endings) for folder in listing.below(depth=2))


def _can_be_read(listing: Listing) -> bool:
    try:
        return any(any(_plans(listing, base)) for base in _bases(listing).values())
    except DataError:  # reading states it
        return True


def _bases(listing: Listing) -> dict[str, str]:
    """Return the folder of each split; "" if the data set is not divided."""
    splits = {split_of(name): name for name in listing.folders() if split_of(name) != ALL}
    filled = {split: name for split, name in splits.items() if any(_plans(listing, name))}
    return filled if "train" in filled else {ALL: ""}


def _plan(listing: Listing, base: str, config: Mapping[str, Any]) -> _Plan:
    plan = (None if base else _own(listing, config)) or next(_plans(listing, base), None)
    if plan is None:
        raise DataError(
            listing.root,
            expected=f"images to register: {LAYOUT.tree}",
            found=f"none that can be paired{f' in {base}' if base else ''}",
            advice="name the folders and files so, or list the pairs in pairs.csv",
        )
    return plan


def _split(listing: Listing, plan: _Plan) -> Split:
    settings = plan.settings
    patterns = {"fixed": settings["fixed"], "moving": settings["moving"] or settings["fixed"]}
    maps = {key: settings[key] for key in ("fixed_labels", "labels")}
    keys = keys_of(subjects_of(files_by_subject(listing.root, {**patterns, **maps}), settings["pairing"]))
    return Split(settings, keys, measured={"pairing": "next"} if settings["pairing"] == "all" else {})


def _plans(listing: Listing, base: str) -> Iterator[_Plan]:
    """Yield the ways to read a folder, the most specific first."""
    fixed, moving = (folder_called(listing, base, names) for names in (_FIXED, _MOVING))
    if fixed and moving:
        yield from _two_folders(listing, base, fixed, moving)
    places = [place for place in (folder_called(listing, base, _IMAGES), base) if place is not None]
    sources = [images_in(listing, base, place) for place in places]
    sources += [images_of_subjects(listing, place) for place in places]
    atlas = atlas_in(listing, base)
    for source in sources:
        if source:
            yield _with_atlas(atlas, source) if atlas else _all_pairs(source)


def _own(listing: Listing, config: Mapping[str, Any]) -> _Plan | None:
    """Return the patterns of the config if the folder has their files, as those of IXI or Neurite-OASIS."""
    patterns = {key: config.get(key) for key in ("fixed", "moving", "fixed_labels", "labels")}
    found = files_by_subject(listing.root, patterns)
    if not patterns["fixed"] or not all(found[key] for key in ("fixed", "moving") if key in found):
        return None
    pairing = {"next": "all"}.get(config.get("pairing", "all"), config.get("pairing", "all"))
    images = " and ".join(pattern for key in ("fixed", "moving") if (pattern := patterns[key]))
    maps = len(found.get("labels", ()))
    return _Plan({**_NOTHING, **patterns, "pairing": pairing}, _words(_PAIRING[pairing].format(images), maps))


def _all_pairs(source: Images) -> _Plan:
    settings = {**_NOTHING, "fixed": source.pattern, "labels": source.labels, "pairing": "all"}
    return _Plan(settings, _words(_PAIRING["all"].format(source.pattern), source.maps), source.notes)


def _with_atlas(atlas: Mapping[str, str], source: Images) -> _Plan:
    own = {"moving": source.pattern, "labels": source.labels, "pairing": "atlas"}
    return _Plan(
        {**_NOTHING, **own, **atlas}, _words(f"{source.pattern} to {atlas['fixed']}", source.maps), source.notes
    )


def _two_folders(listing: Listing, base: str, fixed: str, moving: str) -> Iterator[_Plan]:
    first, second = (images_in(listing, folder, folder) for folder in (fixed, moving))
    if first and second:
        patterns = {
            "fixed": first.pattern,
            "moving": second.pattern,
            "fixed_labels": first.labels,
            "labels": second.labels,
        }
        found = files_by_subject(listing.root, patterns)
        pairing = "same" if set(found["fixed"]) & set(found["moving"]) else "sorted"
        images = _PAIRING[pairing].format(f"{first.pattern} and {second.pattern}")
        yield _Plan(
            {**_NOTHING, **patterns, "pairing": pairing}, _words(images, second.maps), [*first.notes, *second.notes]
        )


def _words(images: str, maps: int) -> str:
    return f"{images}, {maps} label maps" if maps else f"{images}, no label maps and so no Dice"


LAYOUT = Layout(
    label="images to register",
    tree="pairs.csv with the columns fixed and moving; or fixed/ and moving/; or atlas.nii.gz and subjects; or one "
    "folder of images; with label maps *_seg.nii.gz beside them or in labels/",
    tasks=("registration",),
    example="voxelmorph_oasis",
    recognise=_recognise,
    read=_read,
    columns=("fixed", "moving"),
    is_likely=_is_likely,
)
