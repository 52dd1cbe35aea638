"""Joining of panoptic data sets, such as COCONut-B and the part of L from Objects365, to one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from visionzoo.datasets.coco_writing import place_file, write_json
from visionzoo.datasets.panoptic.files import PanopticFile, PanopticImage
from visionzoo.datasets.panoptic.instances import category_record
from visionzoo.datasets.panoptic.writing import image_record, mask_name
from visionzoo.errors import DataError
from visionzoo.structures.image_size import size_of_file
from visionzoo.structures.panoptic import PanopticCategory


@dataclass(frozen=True)
class Source:
    """One data set to join.

    Attributes:
        name: its name, which becomes ``source`` of its images.
        file: its annotations.
        masks: folder of its PNG files.
    """

    name: str
    file: PanopticFile
    masks: Path


@dataclass
class Joined:
    """Images of several data sets.

    Attributes:
        images: all images; their ids and file names are unique, and ``mask`` is the name in the joined folder.
        masks: the PNG of each annotated image, by id.
        categories: the categories of all data sets.
        dropped: number of images of each data set that an earlier one has too.
        renumbered: number of images of each data set with a new id.
    """

    images: list[PanopticImage] = field(default_factory=list)
    masks: dict[int | str, Path] = field(default_factory=dict)
    categories: tuple[PanopticCategory, ...] = ()
    dropped: Counter[str] = field(default_factory=Counter)
    renumbered: Counter[str] = field(default_factory=Counter)


def join(sources: Sequence[Source]) -> Joined:
    """Join data sets. Images with one file name are the same image; the first data set that has it counts.

    Ids that are whole numbers are kept, if no earlier image has them. Other images get the numbers after the largest
    id.

    Args:
        sources: the data sets, in the order of their priority.

    Raises:
        DataError: two data sets have different categories with one id.

    Example:
        >>> files = [PanopticFile("a.json", [PanopticImage(number, name)], ()) for number, name in ((1, "x"), (1, "y"))]
        >>> joined = join([Source(f"{number}", file, Path(".")) for number, file in enumerate(files)])
        >>> [(image.id, image.file_name, image.source) for image in joined.images]
        [(1, 'x', '0'), (2, 'y', '1')]
    """
    joined = Joined(categories=tuple(_categories(sources)))
    largest = max((id_ for each in sources for id_ in _whole_ids(each.file.images)), default=0)
    ids: set[int | str] = set()
    names: set[str] = set()
    for source in sources:
        for image in source.file.images:
            name = Path(image.file_name).stem
            if name in names:
                joined.dropped[source.name] += 1
                continue
            number = image.id
            if not isinstance(number, int) or number in ids:
                largest += 1
                number = largest
                joined.renumbered[source.name] += 1
            names.add(name)
            ids.add(number)
            _add(joined, source, image, number)
    return joined


def _whole_ids(images: Iterable[PanopticImage]) -> Iterator[int]:
    return (image.id for image in images if isinstance(image.id, int))


def _add(joined: Joined, source: Source, image: PanopticImage, number: int) -> None:
    if image.mask is None:
        joined.images.append(replace(image, id=number, source=image.source or source.name))
        return
    joined.masks[number] = source.masks / image.mask
    name = mask_name(image)
    joined.images.append(replace(image, id=number, mask=name, source=image.source or source.name))


def _categories(sources: Sequence[Source]) -> Iterator[PanopticCategory]:
    known: dict[int, tuple[PanopticCategory, str]] = {}
    for source in sources:
        for category in source.file.categories:
            same, where = known.setdefault(category.id, (category, source.name))
            if (same.name, same.isthing) != (category.name, category.isthing):
                raise DataError(
                    f"{source.file.where}: category {category.id}",
                    expected=f"{_kind(same)} as in {where}",
                    found=_kind(category),
                    advice="bring the data sets to the same categories first",
                )
    return (category for category, _ in known.values())


def _kind(category: PanopticCategory) -> str:
    return f"the {'thing' if category.isthing else 'stuff'} {category.name!r}"


def write_joined(folder: Path, name: str, joined: Joined, *, link: bool = False) -> dict[str, Any]:
    """Write ``<folder>/<name>.json`` and ``<folder>/<name>/*.png``; each image has its ``source``.

    The PNG files are not decoded. Where a file does not state the size of an image, it is read from the PNG.

    Args:
        folder: an existing folder, see :func:`visionzoo.datasets.coco_writing.new_folder`.
        name: name of the file, without the ending, and of the folder of the PNG files.
        joined: the images.
        link: create symbolic links to the PNG files instead of copies.

    Returns:
        The content of the JSON file.

    Raises:
        DataError: a PNG is missing.
    """
    (folder / name).mkdir()
    images, annotations = [], []
    for image in joined.images:
        size = None
        if image.mask is not None:
            path = joined.masks[image.id]
            if not path.is_file():
                raise DataError(
                    path, expected=f"the PNG of {image.place}", found="no such file", advice="check --masks"
                )
            place_file(path, folder / name / image.mask, link=link)
            size = None if image.height and image.width else size_of_file(path)[::-1]
            segments = {"image_id": image.id, "file_name": image.mask, "segments_info": image.segments}
            annotations.append(segments)
        images.append(image_record(image, size))
    categories = [category_record(each) for each in joined.categories]
    record = {"images": images, "annotations": annotations, "categories": categories}
    write_json(folder / f"{name}.json", record)
    return record
