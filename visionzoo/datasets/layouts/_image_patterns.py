"""Patterns of volumes or slices in a folder, and of the label maps beside them."""

from __future__ import annotations

import os
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import product, takewhile

from visionzoo.datasets.layouts._listing import Listing, inside
from visionzoo.datasets.volume_files import ARRAYS, ENDINGS, MGH, NIFTI, ending_of, stem_of
from visionzoo.errors import DataError, first_of

VOLUME_ENDINGS = (*NIFTI, *MGH, *ARRAYS)

# Names of folders and of files without their ending, in lower case.
LABEL_FOLDERS = ("labels", "labelstr", "label", "segs", "seg", "segmentations", "labelmaps")
ATLAS = ("atlas", "template")
_INNER = ("mri", "anat")  # folders of a subject that have its images
_SUBJECTS = 5  # folders of subjects that are read to find the names of their files
# Image and label map of a subject in published data sets.
_PUBLISHED = (
    ("aligned_norm", "aligned_seg35"),
    ("aligned_norm", "aligned_seg4"),
    ("norm", "seg35"),
    ("mri/norm", "mri/aparc+aseg"),
    ("mri/norm", "mri/aseg"),
)
_LABEL_END = re.compile(r"(?:^|[-_.+])(?:[ad]?seg\d*|labels?|labelmap|segmentation)$", re.IGNORECASE)
_MASK_END = re.compile(r"(?:^|[-_.])(?:brain)?mask$", re.IGNORECASE)


@dataclass(frozen=True)
class Images:
    """Images that one pattern names.

    Attributes:
        pattern: pattern of the images, with one ``*`` for the subject.
        count: number of images.
        labels: pattern of their label maps, or None.
        maps: number of images with a label map; all of them if ``seg`` in the files themselves is one.
        notes: sentences about files that are not used.
    """

    pattern: str
    count: int
    labels: str | None
    maps: int
    notes: list[str]


def folder_called(listing: Listing, base: str, names: Sequence[str]) -> str | None:
    """Return the folder in ``base`` that has the first of some names (lower case), or None."""
    present = {name.lower(): name for name in listing.folders(base)}
    return next((inside(base, present[name]) for name in names if name in present), None)


def volumes_in(listing: Listing, folder: str) -> list[str]:
    """Return the names of the volumes in a folder, or else those of the slices."""
    return listing.files(folder, VOLUME_ENDINGS) or listing.files(folder, ENDINGS)


def atlas_in(listing: Listing, base: str) -> dict[str, str]:
    """Return the only fixed image, in a folder or in ``atlas/`` inside it, and its label map if there is one."""
    for place in (base, folder_called(listing, base, ATLAS)):
        names = {stem_of(name).lower(): name for name in ([] if place is None else volumes_in(listing, place))}
        if stem := next((stem for stem in ATLAS if stem in names), None):
            maps = [name for each, name in names.items() if each != stem and _LABEL_END.sub("", each) == stem]
            found = {"fixed": names[stem], **({"fixed_labels": maps[0]} if maps else {})}
            return {key: inside(place or "", name) for key, name in found.items()}
    return {}


# --- files of one folder ---


def images_in(listing: Listing, base: str, folder: str) -> Images | None:
    """Return the images in a folder, or None without any.

    Args:
        listing: the data set.
        base: folder in which a folder of label maps is searched.
        folder: folder of the images. Label maps may also be in it.

    Raises:
        DataError: the folder has other files beside the images, and no pattern separates them.
    """
    files = [name for name in volumes_in(listing, folder) if not stem_of(name).lower().startswith(ATLAS)]
    images = [name for name in files if not (_LABEL_END.search(stem_of(name)) or _MASK_END.search(stem_of(name)))]
    if not images:
        return None
    ending, *others = Counter(map(ending_of, images)).most_common()
    notes = [f"{count} {other} images{f' in {folder}' if folder else ''} are not used" for other, count in others]
    images = [name for name in images if ending_of(name) == ending[0]]
    maps, place = [name for name in files if _LABEL_END.search(stem_of(name))], folder
    if not maps and (other_folder := folder_called(listing, base, LABEL_FOLDERS)):
        place = other_folder
        maps = volumes_in(listing, place)
    pattern, labels, count = _matched(images, maps)
    _require_only(listing, folder, images, files, pattern, labels if place == folder else None)
    if ending[0] == ".npz" and labels is None and _has_seg(listing.root / folder / images[0]):
        count = len(images)
    return Images(inside(folder, pattern), len(images), labels and inside(place, labels), count, notes)


def _matched(images: Sequence[str], maps: Sequence[str]) -> tuple[str, str | None, int]:
    """Return the pattern of the images, that of the label maps, and how many images have one.

    Example:
        >>> _matched(["a-T1.nii", "b-T1.nii"], ["a-labels.nii", "b-labels.nii"])
        ('*-T1.nii', '*-labels.nii', 2)
    """
    stems, ending = [stem_of(name) for name in images], ending_of(images[0])
    after = ending_of(maps[0]) if maps else ""
    of_maps = [stem_of(name) for name in maps if ending_of(name) == after]
    label_ends = [match[0] for stem in of_maps if (match := _LABEL_END.search(stem))]
    ends = dict.fromkeys(["", common_end(of_maps), *label_ends])
    best: tuple[str, str | None, int] = (f"*{ending}", None, 0)
    for end, own in product(ends, dict.fromkeys(["", common_end(stems)])):
        subjects = {stem.removesuffix(end) for stem in of_maps if stem.endswith(end)}
        count = sum(stem.removesuffix(own) in subjects for stem in stems)
        if count > best[2]:
            best = (f"*{own}{ending}", f"*{end}{after}", count)
    return best


def common_end(stems: Sequence[str]) -> str:
    """Return the end that all names share, from a ``-``, ``_`` or ``.`` on; empty if they share none.

    Example:
        >>> common_end(["IXI002-Guys-0828-T1", "IXI012-HH-1211-T1"])
        '-T1'
    """
    backwards = zip(*(reversed(stem) for stem in stems))
    shared = "".join(first for first, *_ in takewhile(lambda each: len(set(each)) == 1, backwards))[::-1]
    start = re.search(r"[-_.]", shared)
    return shared[start.start() :] if start and len(stems) > 1 else ""


def _require_only(
    listing: Listing, folder: str, images: Sequence[str], files: Sequence[str], pattern: str, labels: str | None
) -> None:
    strangers = [name for name in files if name not in images and fnmatch(name, pattern)]
    strangers = [name for name in strangers if labels is None or not fnmatch(name, labels)]
    if strangers:
        raise DataError(
            listing.root / folder,
            expected="images, and one label map for each",
            found=f"{len(strangers)} other files, {first_of(strangers)}",
            advice="move those that are not used to another folder, or list the pairs in pairs.csv",
        )


def _has_seg(path: os.PathLike[str]) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "seg.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):  # the data set reports it
        return False


# --- one folder for each subject ---


def images_of_subjects(listing: Listing, folder: str) -> Images | None:
    """Return the images in one folder for each subject, which have the same name in each, or None."""
    names = {name[: len(name) - len(ending_of(name))]: name for name in _files_of_subjects(listing, folder)}
    images = [stem for stem in names if not (_LABEL_END.search(stem) or _MASK_END.search(stem))]
    maps = [stem for stem in names if _LABEL_END.search(stem)]
    pair = next((pair for pair in _PUBLISHED if all(stem in names for stem in pair)), None)
    if pair is None and len(images) != 1:
        return None
    image, label = pair or (images[0], maps[0] if len(maps) == 1 else None)
    found = [names[stem] for stem in (image, label) if stem]
    counts = [sum(listing.has(inside(folder, f"{name}/{file}")) for name in listing.folders(folder)) for file in found]
    patterns = [inside(folder, f"*/{file}") for file in found]
    return Images(patterns[0], counts[0], patterns[1] if label else None, counts[1] if label else 0, [])


def _files_of_subjects(listing: Listing, folder: str) -> list[str]:
    """Return the volumes that each of the first folders has, relative to it."""
    names = [name for name in listing.folders(folder) if name.lower() not in (*LABEL_FOLDERS, *ATLAS)][:_SUBJECTS]
    files = [set(_files_of_subject(listing, inside(folder, name))) for name in names]
    return sorted(set.intersection(*files)) if len(files) > 1 else []


def _files_of_subject(listing: Listing, folder: str) -> list[str]:
    own = volumes_in(listing, folder)
    return own + [inside(inner, name) for inner in _INNER for name in volumes_in(listing, inside(folder, inner))]
