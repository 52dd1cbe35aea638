"""Checks of image files that all tasks share: readable, whole, upright, of the stated size, and present once."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from PIL import Image

from visionzoo.datasets.decoding import is_cut_to_8_bits, opened_image, read_bytes, to_uint8
from visionzoo.datasets.issues import Issue, issue_of
from visionzoo.datasets.missing_files import are_files
from visionzoo.datasets.transforms.loading import read_image
from visionzoo.errors import DataError
from visionzoo.structures.image_size import size_of_file

_ORIENTATION = 0x0112
_HASH_SIDE = 8
_SMALLEST = 8  # pixels; a smaller image is named
_CHUNK = 64
_PLAIN_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@dataclass
class ImageFacts:
    """What is known about one image file.

    Attributes:
        path: the file.
        size: (width, height) as stored; None if the file cannot be read.
        digest: digest of the bytes; None if it was not needed.
        look: 64 bits that are similar for similar images; None if the pixels were not read or have no structure.
        issues: what is wrong with the file.
    """

    path: str
    size: tuple[int, int] | None = None
    digest: bytes | None = None
    look: int | None = None
    issues: list[Issue] = field(default_factory=list)


def images_of(record: Mapping[str, Any]) -> list[str]:
    """Return the paths of the image files of a record; none for volumes and images in other files.

    Example:
        >>> images_of({"img_path": ["a.png", "b.png"]}), images_of({"img_path": "IXI-1", "files": {}})
        (['a.png', 'b.png'], [])
    """
    path = record.get("img_path")
    if path is None or "files" in record:
        return []
    return list(path) if isinstance(path, list | tuple) else [path]


def examined_images(
    paths: Sequence[str], *, pixels: bool, jobs: int, watch: Callable[[Iterable, int], Iterable]
) -> dict[str, ImageFacts]:
    """Examine image files.

    Args:
        paths: the files; each is read once.
        pixels: True to decode the images; False to read only their headers.
        jobs: number of threads.
        watch: shows the progress of an iterable of some length.
    """
    unique = list(dict.fromkeys(paths))
    there = dict(zip(unique, are_files(unique), strict=True))
    examine = _decoded if pixels else _header
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        facts = pool.map(lambda path: examine(path) if there[path] else _missing(path), unique)
        found = {each.path: each for each in watch(facts, len(unique))}
    if not pixels:
        _add_digests(found.values())
    return found


def _missing(path: str) -> ImageFacts:
    advice = "copy it, or remove it from the annotations"
    found = "a broken link or a folder" if os.path.lexists(path) else "no such file"
    return ImageFacts(path, issues=[Issue("missing images", path, found, advice)])


def _header(path: str) -> ImageFacts:
    facts = ImageFacts(path)
    try:
        if not os.path.getsize(path):
            raise DataError(path, expected="an image", found="an empty file", advice="copy or download it again")
        facts.size = size_of_file(path)
        with Image.open(path) as image:
            _note_rotation(image, facts)
    except (DataError, OSError) as error:
        facts.issues.append(_unreadable(error, path))
    _note_size(facts)
    return facts


def _decoded(path: str) -> ImageFacts:
    facts = ImageFacts(path)
    try:
        data = read_bytes(path)
        facts.digest = blake2b(data, digest_size=16).digest()
        image = opened_image(data, path)
        facts.size = image.size
        _note_rotation(image, facts)
        if image.mode not in _PLAIN_MODES or is_cut_to_8_bits(image, data):
            image = Image.fromarray(_by_reader(image, data, path))
        facts.look = _look_of(image, facts)
    except DataError as error:
        facts.issues.append(_unreadable(error, path))
    _note_size(facts)
    return facts


def _by_reader(image: Image.Image, data: bytes, path: str) -> np.ndarray:
    """Return pixels as the loader of the zoo reads them, which refuses values without a known range."""
    return to_uint8(read_image(path, exif=False), path) if image.mode else np.asarray(data)


def _unreadable(error: DataError | OSError, path: str) -> Issue:
    if isinstance(error, OSError):
        return Issue("unreadable images", path, error.strerror or f"{error}", "check its rights")
    reason = f"{error.but or error.found}"
    is_cut = any(word in reason for word in ("truncated", "cut off", "premature", "incomplete"))
    return issue_of(error, "truncated images" if is_cut else "unreadable images", path)


def _note_rotation(image: Image.Image, facts: ImageFacts) -> None:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data, of which the pixels do not depend
        return
    if orientation in range(2, 9):
        advice = "training reads the stored pixels, a viewer turns them; save the image upright, or annotate as stored"
        facts.issues.append(Issue("images with an EXIF rotation", facts.path, f"orientation {orientation}", advice))


def _note_size(facts: ImageFacts) -> None:
    if facts.size is not None and min(facts.size) < _SMALLEST:
        found = f"{facts.size[0]}x{facts.size[1]} pixels"
        facts.issues.append(Issue("tiny images", facts.path, found, "check the file; most models need more pixels"))


def _look_of(image: Image.Image, facts: ImageFacts) -> int | None:
    """Return a difference hash: one bit for each pair of neighbours of a small grey image."""
    grey = image.convert("L")
    if min(grey.size) > 4 * _HASH_SIDE:
        grey = grey.reduce(max(1, min(grey.size) // (4 * _HASH_SIDE)))
    small = np.asarray(grey.resize((_HASH_SIDE + 1, _HASH_SIDE), Image.Resampling.BOX), np.int16)
    if np.ptp(small) <= 1:
        low, high = grey.getextrema()
        if low == high:
            facts.issues.append(Issue("images of one colour", facts.path, f"grey {low}", "look at the file", True))
        return None
    bits = (np.diff(small, axis=1) > 0).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _add_digests(facts: Iterable[ImageFacts]) -> None:
    """Digest the files of which another one has the same length."""
    by_length = defaultdict(list)
    for each in facts:
        if each.size is not None:
            by_length[os.path.getsize(each.path)].append(each)
    for same in by_length.values():
        for each in same if len(same) > 1 else ():
            each.digest = blake2b(read_bytes(each.path), digest_size=16).digest()


# --- duplicates ---


def duplicates(
    uses: Sequence[tuple[str, str]], facts: Mapping[str, ImageFacts], labels: Mapping[str, set[int]]
) -> Iterator[tuple[str, Issue]]:
    """Yield the split and the issue of each image that is there twice.

    Args:
        uses: split and path of each use of an image.
        facts: facts of each path.
        labels: class of an image by path, for images of one class.
    """
    first: dict[bytes, tuple[str, str]] = {}
    for split, path in dict.fromkeys(uses):
        digest = facts[path].digest
        key = digest if digest is not None else os.path.realpath(path).encode(errors="surrogateescape")
        if facts[path].size is None:
            continue
        if key not in first:
            first[key] = (split, path)
            continue
        other_split, other = first[key]
        if other_split != split:
            yield split, Issue("images that another split has too", path, f"equal to {other} in {other_split}", _LEAK)
        elif other != path:
            yield split, Issue("duplicated images", path, f"equal to {other}", "remove the copy")
        if labels.get(path) and labels.get(other) and labels[path] != labels[other]:
            advice = "decide which label is right, and remove the other image"
            found = f"classes {sorted(labels[path])} and {sorted(labels[other])} ({other})"
            yield split, Issue("equal images with different labels", path, found, advice)


def equal_volumes(uses: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Issue]]:
    """Yield the split and the issue of each volume of which another file has the same bytes.

    A file that two splits use, such as the atlas of all pairs, is none.

    Args:
        uses: split and path of each use of a volume.
    """
    by_length = defaultdict(list)
    for split, path in dict.fromkeys(uses):
        if os.path.isfile(path):
            by_length[os.path.getsize(path)].append((split, path))
    for same in by_length.values():
        first: dict[bytes, tuple[str, str]] = {}
        for split, path in same if len({path for _, path in same}) > 1 else ():
            other_split, other = first.setdefault(blake2b(read_bytes(path)).digest(), (split, path))
            if other != path and other_split == split:
                yield split, Issue("duplicated volumes", path, f"equal to {other}", "remove the copy")
            elif other != path:
                found = f"equal to {other} in {other_split}"
                yield split, Issue("volumes that another split has too", path, found, _LEAK)


_LEAK = "remove it from one of them; a score over images of the training is too good"


def near_duplicates(uses: Sequence[tuple[str, str]], facts: Mapping[str, ImageFacts]) -> Iterator[tuple[str, Issue]]:
    """Yield a note for each image that looks like an earlier one, with other bytes."""
    first: dict[int, tuple[str, str]] = {}
    for split, path in dict.fromkeys(uses):
        look = facts[path].look
        if look is None:
            continue
        if look not in first:
            first[look] = (split, path)
        elif facts[first[look][1]].digest != facts[path].digest:
            other_split, other = first[look]
            kind = "similar images in one split" if other_split == split else "similar images in two splits"
            yield split, Issue(kind, path, f"looks like {other} in {other_split}", "look at both", is_note=True)
