"""Writing of panoptic annotations as COCO does: one JSON file, and a PNG with the ids of the segments of each image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from visionzoo.datasets.coco_writing import write_json
from visionzoo.datasets.panoptic.files import PanopticImage
from visionzoo.datasets.panoptic.id_png import write_id_png
from visionzoo.datasets.panoptic.instances import category_record
from visionzoo.errors import DataError
from visionzoo.structures.panoptic import PanopticCategory, PanopticMap


def annotation_of(image_id: int | str, mask: str, panoptic: PanopticMap) -> dict[str, Any]:
    """Return the annotation of one image.

    Args:
        image_id: the image.
        mask: name of its PNG.
        panoptic: its map, with the ids of categories of the file.

    Example:
        >>> annotation_of(4, "4.png", PanopticMap.of_ids([[7, 7, 0]], {7: (1, False)}))["segments_info"]
        [{'id': 7, 'category_id': 1, 'iscrowd': 0, 'area': 2, 'bbox': [0, 0, 2, 1]}]
    """
    segments = [
        {
            "id": each.id,
            "category_id": each.category_id,
            "iscrowd": int(each.iscrowd),
            "area": int(each.area),
            "bbox": list(each.bbox),
        }
        for each in panoptic.segments
    ]
    return {"image_id": image_id, "file_name": mask, "segments_info": segments}


def image_record(image: PanopticImage, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """Return the entry of an image.

    Args:
        image: the image.
        size: (H, W), if it is not that of ``image``.

    Example:
        >>> image_record(PanopticImage(4, "4.jpg"), (3, 5))
        {'id': 4, 'file_name': '4.jpg', 'height': 3, 'width': 5}
    """
    height, width = size or (image.height, image.width)
    facts = {"id": image.id, "file_name": image.file_name, "height": height, "width": width}
    return {**facts, "source": image.source} if image.source else facts


def mask_name(image: PanopticImage) -> str:
    """Return the name of the PNG of an image in a new folder: that of the image file, which is unique.

    Example:
        >>> mask_name(PanopticImage(4, "photos/cat.jpg"))
        'photos_cat.png'
    """
    return f"{Path(image.file_name).with_suffix('')}.png".replace("/", "_")


def write_panoptic(
    folder: Path,
    name: str,
    maps: Iterable[tuple[PanopticImage, PanopticMap]],
    categories: Sequence[PanopticCategory],
    *,
    without: Iterable[PanopticImage] = (),
    info: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write ``<folder>/<name>.json`` and ``<folder>/<name>/*.png``.

    Args:
        folder: an existing folder, see :func:`visionzoo.datasets.coco_writing.new_folder`.
        name: name of the file, without the ending, and of the folder of the PNG files.
        maps: images and their maps, with ids of ``categories``. Only one map is in memory at a time.
        categories: the categories of the file.
        without: images without annotation.
        info: other facts, such as ``info`` and ``licenses``.

    Returns:
        The content of the JSON file.

    Raises:
        DataError: a category of a segment is not in ``categories``, two images have one name, or an id is too large.

    Example:
        >>> import tempfile
        >>> item = PanopticImage(4, "4.jpg"), PanopticMap.of_ids([[7, 7, 0]], {7: (1, False)})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     record = write_panoptic(Path(folder), "val", [item], [PanopticCategory(1, "person", True)])
        ...     sorted(path.name for path in Path(folder).rglob("*.*"))
        ['4.png', 'val.json']
    """
    (folder / name).mkdir()
    images, annotations, names = [], [], set()
    known = {each.id: each.id for each in categories}
    for image, panoptic in maps:
        mask = mask_name(image)
        if mask in names:
            raise DataError(image.file_name, expected="every image to have a unique name", found=f"{mask} twice")
        names.add(mask)
        write_id_png(folder / name / mask, panoptic.with_categories(known, image.place).ids)
        images.append(image_record(image, panoptic.size))
        annotations.append(annotation_of(image.id, mask, panoptic))
    record = {
        **(info or {}),
        "images": images + [image_record(image) for image in without],
        "annotations": annotations,
        "categories": [category_record(each) for each in categories],
    }
    write_json(folder / f"{name}.json", record)
    return record
