"""Reading of Pascal VOC folders and conversion to COCO's layout.

A VOC folder has one XML file per image. Its subfolders have different names: ``Annotations`` with ``JPEGImages``,
``annotations`` or ``annots`` with ``images``, or one folder for both.

Rules of the conversion:

* Corners count pixels from 1 and include the last pixel (VOC's devkit), so a box is
  ``[xmin - 1, ymin - 1, xmax - xmin + 1, ymax - ymin + 1]``. Many tools write edges from 0 instead; ``zero_based``
  reads them.
* ``difficult`` objects become ``iscrowd=1``: metrics count them neither as missed nor as false detections.
* A box beyond the border is clipped, swapped corners are sorted, and a box outside the image is omitted. Each change
  is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from visionzoo.errors import DataError, first_of, require_known, require_none_missing
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS
from visionzoo.structures.image_size import size_of_file
from visionzoo.system.text_files import read_text

_ANNOTATION_FOLDERS = ("Annotations", "annotations", "annots", "xml", "labels", ".")
_IMAGE_FOLDERS = ("JPEGImages", "images", "Images", "imgs", ".")
DIFFICULT = ("ignore", "keep", "drop")


@dataclass(frozen=True)
class VocObject:
    """One box; ``corners`` are xmin, ymin, xmax, ymax as in the file."""

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocImage:
    """One image of a VOC folder; its size in pixels comes from the image file."""

    stem: str
    file: Path
    width: int
    height: int
    objects: tuple[VocObject, ...]


@dataclass
class VocFolder:
    """Folders of the XML files and images of a VOC folder; stems are sorted by name."""

    root: Path
    annotations: Path
    images: Path
    stems: list[str]
    _images: dict[str, Path] = field(default_factory=dict, repr=False)

    @classmethod
    def find(cls, root: Path) -> VocFolder:
        """Find the folders below ``root``.

        Raises:
            DataError: there is no XML file, or images are missing; the message has their number and the first three.
        """
        if not root.is_dir():
            raise DataError(root, expected="a Pascal VOC folder", found="no such folder", advice="check the path")
        annotations = _first_with(root, _ANNOTATION_FOLDERS, (".xml",))
        folder = _first_with(root, _IMAGE_FOLDERS, ANY_IMAGE_ENDINGS)
        if annotations is None or folder is None:
            what = "XML files in Annotations/" if annotations is None else "images in JPEGImages/"
            raise DataError(
                root, expected=f"{what} as in Pascal VOC", found="none", advice="name the folder above them"
            )
        stems = sorted(path.stem for path in annotations.glob("*.xml"))
        images = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in ANY_IMAGE_ENDINGS}
        _require_images(folder, stems, images)
        return cls(root, annotations, folder, stems, images)

    def read(self, stem: str) -> VocImage:
        """Parse one XML file and read the size of its image.

        Raises:
            DataError: the XML is broken or incomplete, or its size differs from the image.
        """
        path = self.annotations / f"{stem}.xml"
        tree = _parse(path)
        width, height = size_of_file(self._images[stem])  # the training loader also ignores EXIF
        _require_size(path, tree, width, height)
        objects = tuple(_object(path, node) for node in tree.iter("object"))
        return VocImage(stem, self._images[stem], width, height, objects)


def _first_with(root: Path, folders: Sequence[str], suffixes: Sequence[str]) -> Path | None:
    for name in folders:
        folder = root / name
        if folder.is_dir() and any(path.suffix.lower() in suffixes for path in folder.iterdir()):
            return folder
    return None


def _require_images(folder: Path, stems: Sequence[str], images: dict[str, Path]) -> None:
    require_none_missing(
        [stem for stem in stems if stem not in images],
        folder,
        expected=f"an image for each of {len(stems)} XML files",
        advice="copy them, or remove their XML files",
    )


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DataError(
            path, expected="Pascal VOC XML", found=f"a broken file ({error})", advice="correct or remove it"
        ) from error


def _require_size(path: Path, tree: ElementTree.Element, width: int, height: int) -> None:
    """Raise DataError if the stated size differs from the image; a stated size of 0 is ignored."""
    stated = tuple(int(_number(path, tree.find("size"), key, default=0)) for key in ("width", "height"))
    if 0 not in stated and stated != (width, height):
        raise DataError(
            path,
            expected=f"the size of its image, {width}x{height}",
            found=f"{stated[0]}x{stated[1]}",
            advice="its boxes are for another image: correct the XML or the image",
        )


def _object(path: Path, node: ElementTree.Element) -> VocObject:
    name = (node.findtext("name") or "").strip()
    if not name:
        raise DataError(path, expected="a name in every object", found="one without", advice="correct the file")
    box = node.find("bndbox")
    if box is None:
        raise DataError(
            path, expected="a bndbox in every object", found=f"a {name!r} without", advice="correct the file"
        )
    x0, y0, x1, y1 = (_number(path, box, key) for key in ("xmin", "ymin", "xmax", "ymax"))
    return VocObject(name, (x0, y0, x1, y1), (node.findtext("difficult") or "0").strip() not in ("0", ""))


def _number(path: Path, node: ElementTree.Element | None, key: str, default: float | None = None) -> float:
    text = node.findtext(key) if node is not None else None
    if text is None and default is not None:
        return default
    try:
        return float(text or "")
    except ValueError as error:
        raise DataError(path, expected=f"a number in <{key}>", found=f"{text!r}", advice="correct the file") from error


# --- splits ---


def choose_splits(
    folder: VocFolder, *, files: Sequence[str] = (), val_every: int | None = None
) -> dict[str, list[str]]:
    """Assign the stems of a folder to splits.

    Without ``files`` and ``val_every``, the splits are the existing lists ``train``, ``val`` and ``test`` of
    ``ImageSets/Main``. If there is no list, all stems are ``train``.

    Args:
        folder: the VOC folder.
        files: lists with one stem per line, as in ``ImageSets/Main``: paths, or names of lists there (``train``). The
            stem of a file is the name of its split.
        val_every: N makes each N-th stem ``val`` and the others ``train``. N = 5 selects the 5th, the 10th and so on,
            sorted by name.

    Returns:
        Stems by split.

    Raises:
        DataError: a list does not exist, or has stems that are not in the folder.

    Example:
        >>> folder = VocFolder(Path("."), Path("."), Path("."), stems=["a", "b", "c"])
        >>> choose_splits(folder, val_every=2)
        {'train': ['a', 'c'], 'val': ['b']}
    """
    if val_every is not None:
        val = folder.stems[val_every - 1 :: val_every]
        return {"train": sorted(set(folder.stems) - set(val)), "val": val}
    lists = [_find_list(folder, name) for name in files] or _usual_lists(folder)
    if not lists:
        return {"train": list(folder.stems)}
    return {path.stem: _read_list(folder, path) for path in lists}


def _usual_lists(folder: VocFolder) -> list[Path]:
    paths = (folder.root / "ImageSets" / "Main" / f"{name}.txt" for name in ("train", "val", "test"))
    return [path for path in paths if path.is_file()]


def _find_list(folder: VocFolder, name: str) -> Path:
    lists = folder.root / "ImageSets" / "Main"
    for path in (Path(name), lists / name, lists / f"{name}.txt", folder.root / name):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in lists.glob("*.txt"))[:8]) or "none"
    raise DataError(f"--split {name}", expected="a list of images", found=f"no such file (lists in {lists}: {known})")


def _read_list(folder: VocFolder, path: Path) -> list[str]:
    lines = [line.split() for line in read_text(path, "a list of images", "check it").splitlines() if line.strip()]
    # Lists of one class have "stem -1" for images without the class.
    stems = [_stem(words[0], folder) for words in lines if words[-1] != "-1" or len(words) == 1]
    strangers = sorted(set(stems) - set(folder.stems))
    if strangers:
        raise DataError(
            path,
            expected=f"images of {folder.root}",
            found=f"{len(strangers)} unknown ({first_of(strangers)})",
            advice="correct the list",
        )
    if not stems:
        raise DataError(path, expected="at least one image", found="an empty list", advice="correct or omit it")
    return list(dict.fromkeys(stems))


def _stem(name: str, folder: VocFolder) -> str:
    """Return the stem of a name, which may have a suffix and a folder."""
    return name if name in folder.stems else Path(name).stem


# --- to COCO ---


@dataclass
class CocoFromVoc:
    """COCO records by split, their image files, and the number of changes by kind."""

    records: dict[str, dict]
    images: dict[str, list[Path]]
    changes: Counter[str]


def to_coco(
    folder: VocFolder,
    splits: dict[str, list[str]],
    images: Iterable[VocImage],
    *,
    classes: Sequence[str] = (),
    difficult: str = "ignore",
    zero_based: bool = False,
) -> CocoFromVoc:
    """Convert a VOC folder to COCO records.

    Args:
        folder: the VOC folder.
        splits: stems by split.
        images: the images of the folder; images without a split are omitted.
        classes: names in category order; objects of other classes are omitted. Default: all names, sorted.
        difficult: ``ignore`` (``iscrowd=1``), ``keep`` as normal objects, or ``drop``.
        zero_based: corners are edges counted from 0, not pixels counted from 1.

    Returns:
        COCO records by split, their image files, and the changes.

    Raises:
        UnknownName: no image has one of ``classes``.

    Example:
        >>> folder = VocFolder(Path("."), Path("."), Path("."), stems=["a"])
        >>> image = VocImage("a", Path("a.jpg"), 40, 30, (VocObject("cat", (1, 1, 10, 20), difficult=False),))
        >>> to_coco(folder, {"train": ["a"]}, [image]).records["train"]["annotations"][0]["bbox"]
        [0, 0, 10, 20]
    """
    by_stem = {image.stem: image for image in images}
    used = {stem: by_stem[stem] for stems in splits.values() for stem in stems}
    names = _class_names(used.values(), classes)
    categories = {name: number for number, name in enumerate(names, start=1)}
    image_ids = {stem: number for number, stem in enumerate(sorted(used), start=1)}
    changes: Counter[str] = Counter()
    boxes = _Boxes(categories, difficult, zero_based, changes)
    records = {
        split: {
            "info": {"description": f"{folder.root.name}, converted from Pascal VOC"},
            "licenses": [],
            "images": [_image_record(used[stem], image_ids[stem]) for stem in stems],
            "annotations": [box for stem in stems for box in boxes.of(used[stem], image_ids[stem])],
            "categories": [
                {"id": number, "name": name, "supercategory": "none"} for name, number in categories.items()
            ],
        }
        for split, stems in splits.items()
    }
    return CocoFromVoc(
        records, {split: [used[stem].file for stem in stems] for split, stems in splits.items()}, changes
    )


def _class_names(images: Iterable[VocImage], wanted: Sequence[str]) -> list[str]:
    present = {voc.name for image in images for voc in image.objects}
    for name in wanted:
        require_known(name, present, "class in these images")
    return list(dict.fromkeys(wanted)) or sorted(present)


def _image_record(image: VocImage, image_id: int) -> dict:
    return {"id": image_id, "file_name": image.file.name, "width": image.width, "height": image.height}


class _Boxes:
    """Builder of annotations with consecutive ids; it counts its changes."""

    def __init__(self, categories: dict[str, int], difficult: str, zero_based: bool, changes: Counter[str]):
        self.categories, self.difficult, self.zero_based, self.changes = categories, difficult, zero_based, changes
        self.made = 0

    def of(self, image: VocImage, image_id: int) -> list[dict]:
        annotations = (self._annotation(image, image_id, voc) for voc in image.objects)
        return [annotation for annotation in annotations if annotation is not None]

    def _annotation(self, image: VocImage, image_id: int, voc: VocObject) -> dict | None:
        if voc.name not in self.categories:
            self.changes["left out: of other classes"] += 1
            return None
        if voc.difficult and self.difficult == "drop":
            self.changes["left out: difficult"] += 1
            return None
        box = self._box(image, voc)
        if box is None:
            self.changes["left out: nothing inside the image"] += 1
            return None
        self.made += 1
        return {
            "id": self.made,
            "image_id": image_id,
            "category_id": self.categories[voc.name],
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": int(voc.difficult and self.difficult == "ignore"),
        }

    def _box(self, image: VocImage, voc: VocObject) -> list[float] | None:
        """Return [x, y, width, height] clipped to the image, or None if nothing remains."""
        x0, y0, x1, y1 = voc.corners
        if x0 > x1 or y0 > y1:
            self.changes["put in order: swapped corners"] += 1
            (x0, x1), (y0, y1) = sorted((x0, x1)), sorted((y0, y1))
        if not self.zero_based:
            x0, y0 = x0 - 1, y0 - 1
        left, top, right, bottom = max(x0, 0.0), max(y0, 0.0), min(x1, image.width), min(y1, image.height)
        if right - left < 1 or bottom - top < 1:
            return None
        if max(left - x0, top - y0, x1 - right, y1 - bottom) > 1:  # 1 pixel: difference between the two conventions
            self.changes["cut off at the border"] += 1
        return [left, top, right - left, bottom - top]
