"""Image files that annotation files name, and the numbers that annotation files state about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from visionzoo.datasets.coco_annotations import MOST_PIXELS
from visionzoo.datasets.coco_records import measured
from visionzoo.datasets.findings import Findings, shown
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS


def first_file(paths: Iterable[Path]) -> Path | None:
    """Return the first path that is a file, or None.

    Example:
        >>> first_file([Path("nowhere.jpg"), Path("x" * 300)])
    """
    return next((path for path in paths if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or has a null byte
        return False


def named_image(name: object, folders: Sequence[Path], where: str, findings: Findings) -> Path | None:
    """Return the image file that an annotation file names, or None after an error.

    Args:
        name: a path below one of the folders, with slashes or backslashes; otherwise its last part is used.
        folders: folders to search, in order.
        where: the entry, for the error.
        findings: takes the error.
    """
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        findings.wrong(where, "image", expected="the name of an image", found=shown(name))
        return None
    path = name.strip().replace("\\", "/")
    file = first_file(folder / each for each in (path, path.rpartition("/")[2]) for folder in folders)
    if file is not None and file.suffix.lower() in ANY_IMAGE_ENDINGS:
        return file
    searched = folders[0] if folders else Path()
    findings.wrong(where, "image", expected=f"an image in {searched}", found=f"no file {shown(name, most=80)}")
    return None


def agreed_size(file: Path, stated: Sequence[float | None], where: str, findings: Findings) -> tuple[int, int] | None:
    """Return the (width, height) of an image file in pixels, or None after an error.

    Args:
        file: the image.
        stated: width and height in the annotation file; None where it has none, which is noted.
        where: the entry, for the error.
        findings: takes the errors: the file cannot be read, or its size is another one.
    """
    size = measured(file, findings)
    if size is None:
        return None
    if None in stated:
        findings.note("images without a stated size, that of the file is used")
    elif tuple(stated) != size:
        numbers = "x".join(f"{number:g}" for number in stated if number is not None)
        turned = " (turned by EXIF data? save the image as it is shown)" if tuple(stated) == size[::-1] else ""
        findings.wrong(where, "size", expected=f"that of its image, {size[0]}x{size[1]}", found=f"{numbers}{turned}")
        return None
    return size


def are_pixels(values: Iterable[float | None]) -> bool:
    """Return True if all values are numbers of a size that coordinates in pixels have.

    Example:
        >>> are_pixels([3, -1.5]), are_pixels([3, None]), are_pixels([1e300])
        (True, False, False)
    """
    return all(value is not None and abs(value) <= MOST_PIXELS for value in values)
