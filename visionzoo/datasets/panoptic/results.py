"""Instances and stuff to combine: COCO annotations, lists of results, or folders of maps of class indices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionzoo.datasets.coco_annotations import segmentation_problem
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.json_objects import read_json_value
from visionzoo.datasets.panoptic.combining import Region, regions_of
from visionzoo.datasets.panoptic.files import PanopticFile, PanopticImage
from visionzoo.datasets.panoptic.semantic import read_labels, stuff_of_index_map
from visionzoo.datasets.panoptic.writing import mask_name
from visionzoo.errors import DataError
from visionzoo.structures.image_size import size_of_file


@dataclass
class Results:
    """Masks of the images of a file.

    Attributes:
        path: the file or folder.
        file: images and categories.
        by_image: entries with ``category_id`` and ``segmentation`` by id of the image; empty for a folder.
        folder: folder of maps of class indices, or None.
    """

    path: Path
    file: PanopticFile
    by_image: Mapping[Any, list[dict[str, Any]]] = field(default_factory=dict)
    folder: Path | None = None

    @classmethod
    def read(cls, path: Path, file: PanopticFile) -> Results:
        """Read and check a JSON with COCO annotations or a list of results, or take a folder of maps.

        Raises:
            DataError: an entry has an unknown image or category, or no mask of the size of its image.
        """
        if path.is_dir():
            return cls(path, file, folder=path)
        value = read_json_value(path, "COCO annotations or a list of results", "check how it was made")
        entries = value.get("annotations") if isinstance(value, dict) else value
        if not isinstance(entries, list):
            advice = "name a COCO json or a list of results"
            raise DataError(path, expected="a list of annotations", found=shown(value), advice=advice)
        by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        images, known = {image.id: image for image in file.images}, file.by_id
        with Findings(path, expected="masks of the images") as findings:
            for number, entry in enumerate(entries):
                problem = _problem(entry, images, known)
                if problem:
                    findings.wrong(f"annotations[{number}]", problem[0], expected=problem[1], found=problem[2])
                else:
                    by_image[entry["image_id"]].append(entry)
        return cls(path, file, by_image)

    def size_of(self, image: PanopticImage) -> tuple[int, int]:
        """Return the (H, W) of an image: as its file states, or of its map or of a run-length code.

        Raises:
            DataError: nothing states it.
        """
        if image.height and image.width:
            return image.height, image.width
        if self.folder is not None:
            width, height = size_of_file(self.folder / mask_name(image))
            return height, width
        codes = (each["segmentation"] for each in self.by_image.get(image.id, ()))
        size = next((code["size"] for code in codes if isinstance(code, dict)), None)
        if size is None:
            advice = "add height and width of the images"
            raise DataError(f"{self.path}: {image.place}", expected="its size", found="none", advice=advice)
        return size[0], size[1]

    def regions(self, image: PanopticImage, size: tuple[int, int]) -> Iterator[Region]:
        """Yield the masks of an image; of a map, those of its stuff.

        Args:
            image: the image.
            size: its (H, W).

        Raises:
            DataError: its map is missing, broken or of another size.
        """
        if self.folder is None:
            yield from regions_of({**each, "size": size} for each in self.by_image.get(image.id, ()))
            return
        labels = read_labels(str(self.folder / mask_name(image)), self.file.categories, size, image.place)
        for category, mask in stuff_of_index_map(labels, self.file.categories).items():
            yield Region(category, mask)


def _problem(
    entry: Any, images: Mapping[Any, PanopticImage], categories: Mapping[int, Any]
) -> tuple[str, str, str] | None:
    """Return field, expected and found value of what is wrong with an entry, or None."""
    if not isinstance(entry, dict):
        return "annotation", "an object", shown(entry)
    image = images.get(entry.get("image_id")) if isinstance(entry.get("image_id"), int | str) else None
    if image is None:
        return "image_id", "the id of an image", shown(entry.get("image_id"))
    category = entry.get("category_id")
    if not isinstance(category, int) or category not in categories:
        return "category_id", f"one of the {len(categories)} categories", shown(category)
    problem = segmentation_problem(entry.get("segmentation"), (image.height, image.width))
    if problem:
        return "segmentation", f"polygons or an RLE of {image.place}", problem
    if not isinstance(entry.get("score", 1.0), int | float):
        return "score", "a number", shown(entry["score"])
    return None
