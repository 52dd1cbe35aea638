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
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from visionzoo.datasets.coco_records import AnnotatedImage, AnnotatedImages, CocoRecords, Region, measured
from visionzoo.datasets.coco_records import to_coco as records_of
from visionzoo.datasets.file_names import files_with, known_name, once_each
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.outlines import Box
from visionzoo.datasets.voc_xml import VocObject, read_objects
from visionzoo.errors import DataError, first_of, require_none_missing
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS
from visionzoo.system.text_files import read_text

ANNOTATION_FOLDERS = ("Annotations", "annotations", "annots", "xml", "labels", ".")
_IMAGE_FOLDERS = ("JPEGImages", "images", "Images", "imgs", ".")
DIFFICULT = ("ignore", "keep", "drop")


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
    _xmls: dict[str, Path] = field(default_factory=dict, repr=False)
    _images: dict[str, Path] = field(default_factory=dict, repr=False)

    @classmethod
    def find(cls, root: Path) -> VocFolder:
        """Find the folders below ``root``.

        Endings may have any case. Hidden files are skipped with a note, as are images without an XML file.

        Raises:
            DataError: there is no XML file, images are missing, or two files have the same stem; the message has their
                number and the first three.
        """
        if not root.is_dir():
            raise DataError(root, expected="a Pascal VOC folder", found="no such folder", advice="check the path")
        with Findings(root, expected="a Pascal VOC folder", advice="remove the files that do not belong") as findings:
            annotations, xmls = _first_with(root, ANNOTATION_FOLDERS, (".xml",), "XML files in Annotations/", findings)
            images, files = _first_with(root, _IMAGE_FOLDERS, ANY_IMAGE_ENDINGS, "images in JPEGImages/", findings)
            _require_images(images, xmls, files)
            findings.note("images without an XML file, left out", len(files.keys() - xmls.keys()))
            xml_of = {stem: _only(paths, stem, "XML file", findings) for stem, paths in xmls.items()}
            image_of = {stem: _only(files[stem], stem, "image", findings) for stem in xmls}
        return cls(root, annotations, images, list(xmls), xml_of, image_of)

    def read(self, stem: str) -> VocImage:
        """Read one XML file and the size of its image; see :meth:`read_all`."""
        return self.read_all([stem])[0]

    def read_all(self, stems: Iterable[str]) -> list[VocImage]:
        """Read XML files and the sizes of their images.

        Raises:
            DataError: an image cannot be read, an XML file is broken, its size differs from the image, or an object
                lacks a name, has no corners in pixels, or is difficult in an unknown way. One error covers all files.
        """
        advice = "correct the XML files, and save them as UTF-8"
        with Findings(self.annotations, expected="Pascal VOC XML files", advice=advice) as findings:
            return [self._read(stem, findings) for stem in stems]

    def _read(self, stem: str, findings: Findings) -> VocImage:
        image = self._images[stem]
        size = measured(image, findings)
        if size is None:
            return VocImage(stem, image, 0, 0, ())
        return VocImage(stem, image, *size, read_objects(self._xmls[stem], size, findings))


def _first_with(
    root: Path, folders: Sequence[str], endings: Sequence[str], what: str, findings: Findings
) -> tuple[Path, dict[str, list[Path]]]:
    """Return the first folder that has files with the endings, and these files by stem."""
    for name in folders:
        by_stem: dict[str, list[Path]] = {}
        for path in files_with(root / name, endings, findings):
            by_stem.setdefault(path.stem, []).append(path)
        if by_stem:
            return root / name, by_stem
    raise DataError(root, expected=f"{what} as in Pascal VOC", found="none", advice="name the folder above them")


def _require_images(folder: Path, stems: Collection[str], images: Collection[str]) -> None:
    require_none_missing(
        [stem for stem in stems if stem not in images],
        folder,
        expected=f"an image for each of {len(stems)} XML files",
        advice="copy them, or remove their XML files",
    )


def _only(paths: Sequence[Path], stem: str, what: str, findings: Findings) -> Path:
    if len(paths) > 1:
        findings.wrong(stem, what, expected="one file", found=first_of(path.name for path in paths))
    return paths[0]


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
    splits = {path.stem: _read_list(folder, path) for path in lists}
    shared = [stem for stem, times in Counter(chain(*splits.values())).items() if times > 1]
    with Findings(folder.root, expected="splits") as findings:
        findings.note(f"images in several of the splits {', '.join(splits)}", len(shared))
    return splits


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
    text = read_text(path, "a list of images", "check it")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    known = frozenset(folder.stems)
    with Findings(path, expected=f"images of {folder.root}", advice="correct the list") as findings:
        stems = [_listed(line, known, findings) for line in lines]
        chosen = once_each([stem for stem in stems if stem], findings, "images")
    if not chosen:
        raise DataError(path, expected="at least one image", found="an empty list", advice="correct or omit it")
    return chosen


def _listed(line: str, known: frozenset[str], findings: Findings) -> str | None:
    """Return the stem of a line; None if the line leaves it out, or is wrong."""
    endings = (*ANY_IMAGE_ENDINGS, ".xml")
    stem = known_name(line, known, endings)
    if stem is not None:
        return stem
    # Lists of one class have "stem -1" for images without the class.
    name, _, sign = line.rpartition(" ")
    stem = known_name(name.strip(), known, endings) if sign in ("-1", "0", "1") else None
    if stem is None:
        findings.wrong(shown(line), "name", expected="an image of the folder", found="none with this name")
    return None if sign == "-1" else stem


# --- to COCO ---


def to_coco(
    folder: VocFolder,
    splits: dict[str, list[str]],
    images: Iterable[VocImage],
    *,
    classes: Sequence[str] = (),
    difficult: str = "ignore",
    zero_based: bool = False,
) -> CocoRecords:
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
        DataError: no box remains that a model can learn.

    Example:
        >>> folder = VocFolder(Path("."), Path("."), Path("."), stems=["a"])
        >>> image = VocImage("a", Path("a.jpg"), 40, 30, (VocObject("cat", (1, 1, 10, 20), difficult=False),))
        >>> to_coco(folder, {"train": ["a"]}, [image]).records["train"]["annotations"][0]["bbox"]
        [0, 0, 10, 20]
    """
    source = annotated(folder, splits, images, difficult=difficult, zero_based=zero_based)
    return records_of(source, classes)


def annotated(
    folder: VocFolder,
    splits: dict[str, list[str]],
    images: Iterable[VocImage],
    *,
    difficult: str = "ignore",
    zero_based: bool = False,
) -> AnnotatedImages:
    """Return the images of a VOC folder in the form of all formats; see :func:`to_coco` for the arguments."""
    by_stem = {image.stem: image for image in images}
    used = {stem: by_stem[stem] for stems in splits.values() for stem in stems}
    changes: Counter[str] = Counter()
    read = {stem: _annotated(image, difficult, zero_based, changes) for stem, image in used.items()}
    some_difficult = any(voc.difficult for image in used.values() for voc in image.objects)
    return AnnotatedImages(
        folder.root,
        "Pascal VOC",
        {split: [read[stem] for stem in stems] for split, stems in splits.items()},
        sorted({voc.name for image in used.values() for voc in image.objects}),
        changes,
        advice="use --difficult keep" if some_difficult else "check the XML files",
    )


def _annotated(image: VocImage, difficult: str, zero_based: bool, changes: Counter[str]) -> AnnotatedImage:
    kept = [voc for voc in image.objects if not (voc.difficult and difficult == "drop")]
    changes.update({"left out: difficult": len(image.objects) - len(kept)} if len(kept) < len(image.objects) else {})
    regions = (
        Region(voc.name, _edges(voc.corners, zero_based), crowd=voc.difficult and difficult == "ignore") for voc in kept
    )
    return AnnotatedImage(image.file, image.width, image.height, tuple(regions))


def _edges(corners: Box, zero_based: bool) -> Box:
    """Return the edges of a box. Swapped corners remain swapped: the first pixel is the smaller one."""
    if zero_based:
        return corners
    x0, y0, x1, y1 = corners
    return x0 - (x0 <= x1), y0 - (y0 <= y1), x1 - (x1 < x0), y1 - (y1 < y0)
