"""Images of the suite coconut, and the annotation files that are the truth for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from visionzoo.datasets.panoptic.files import PanopticImage, in_label_order, label_of
from visionzoo.datasets.panoptic.maps import folder_of_masks, map_in
from visionzoo.datasets.panoptic.reading import read_panoptic
from visionzoo.errors import DataError
from visionzoo.structures.panoptic import PanopticCategory, PanopticMap
from visionzoo.suites._base import SuiteData

_WHERE = "datasets/coconut/README.md and datasets/coco_panoptic/README.md state where to get them"


@dataclass(frozen=True)
class ImageSet:
    """Images in one folder, with one or several truths.

    Attributes:
        images: folder of the images, below that of the data.
        truths: by name, the places of its annotation file, of which the first that exists is used.
    """

    images: str
    truths: dict[str, tuple[str, ...]]


IMAGE_SETS = {
    "coco-val": ImageSet(
        "val2017",
        {
            "COCO-val": ("panoptic_val2017.json", "annotations/panoptic_val2017.json"),
            "relabelled COCO-val": ("relabeled_coco_val.json", "annotations/relabeled_coco_val.json"),
        },
    ),
    "coconut-val": ImageSet(
        "coconut_val_images", {"COCONut-val": ("coconut_val.json", "annotations/coconut_val.json")}
    ),
}


class Truth:
    """One annotation file.

    Args:
        name: its name in tables.
        path: the file.

    Attributes:
        categories: the categories in the order of class indices, things first.
        labels: the class index of each category id.
        images: the annotated images by id, as text.

    Raises:
        DataError: the file cannot be read, or has no annotated image.
    """

    def __init__(self, name: str, path: Path):
        self.name, self.path = name, path
        file = read_panoptic(path)
        self.categories = in_label_order(file.categories)
        self.images = {str(image.id): image for image in file.annotated}
        self.labels, self._masks = label_of(file.categories), folder_of_masks(path)
        if not self.images:
            raise DataError(path, expected="an image with annotation", found="none", advice="check the file")

    @property
    def things(self) -> int:
        """Number of categories that are things."""
        return sum(each.isthing for each in self.categories)

    def map_of(self, image_id: str) -> PanopticMap:
        """Return the segments of an image with class indices.

        Raises:
            DataError: its PNG is missing, broken, or does not fit the segments.
        """
        image = self.images[image_id]
        panoptic = map_in(self._masks, image, self.path)
        return panoptic.with_categories(self.labels, where=image.place)


def open_images(name: str, root: Path) -> SuiteData:
    """Return the images of a set that any of its truths annotates.

    Args:
        name: a key of ``IMAGE_SETS``.
        root: folder of the data.

    Raises:
        DataError: no truth is there, an image is missing, or the truths have different categories.
    """
    images = IMAGE_SETS[name]
    paths = {truth: _first([root / place for place in places]) for truth, places in images.truths.items()}
    truths = [Truth(truth, path) for truth, path in paths.items() if path is not None]
    if not truths:
        wanted = " or ".join(places[0] for places in images.truths.values())
        raise DataError(root, expected=f"{wanted}, and images in {images.images}/", found="none", advice=_WHERE)
    _require_same_categories(truths)
    listed = {image_id: image for truth in truths for image_id, image in truth.images.items()}
    folder = root / images.images
    missing = [image.file_name for image in listed.values() if not (folder / image.file_name).is_file()]
    if missing:
        found = f"{len(missing)} of {len(listed)} images missing, the first one is {missing[0]}"
        raise DataError(folder, expected="the images of the annotations", found=found, advice=_WHERE)
    samples = [_sample(image_id, image, folder) for image_id, image in listed.items()]
    notes = [f"{truth}: not measured: no file {place} in {root}; {_WHERE}" for truth, place in _left(images, paths)]
    notes += [
        f"{truth.name}: {len(listed) - len(truth.images)} of {len(listed)} images of {name} have no annotation"
        for truth in truths
        if len(truth.images) < len(listed)
    ]
    return SuiteData(name, samples, {"truths": truths, "categories": truths[0].categories}, tuple(notes))


def _first(paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _left(images: ImageSet, paths: dict[str, Path | None]) -> list[tuple[str, str]]:
    return [(truth, images.truths[truth][0]) for truth, path in paths.items() if path is None]


def _sample(image_id: str, image: PanopticImage, folder: Path) -> dict[str, str]:
    return {"id": image_id, "img_path": str(folder / image.file_name)}


def _require_same_categories(truths: Sequence[Truth]) -> None:
    """Raise an error if the truths of the same images differ in id, name or kind of a category."""
    first = truths[0]
    for truth in truths[1:]:
        if _facts(truth.categories) != _facts(first.categories):
            raise DataError(
                truth.path,
                expected=f"the {len(first.categories)} categories of {first.path}",
                found=f"{len(truth.categories)} categories, some of them others",
                advice="use files of the same data set",
            )


def _facts(categories: Sequence[PanopticCategory]) -> list[tuple[int, str, bool]]:
    return [(each.id, each.name, each.isthing) for each in categories]
