"""Masks and id maps in image files. Data sets, metrics and converters read them through these functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from visionzoo.datasets.decoding import is_cut_to_8_bits, opened_image, read_bytes, to_uint8
from visionzoo.datasets.findings import Findings
from visionzoo.errors import DataError
from visionzoo.structures.image_size import require_size, size_of_file

# A stem may have several files (MSRA-B is published with image and mask side by side); the first ending is used.
MASKS = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
# Pixels above this level are salient in targets.
SALIENT_FROM = 127

# Levels up to this one are numbers of objects; the graded masks of PASCAL-S begin at 21.
_HIGHEST_NUMBER = 15
# Half of the range: salient in targets, but background under the protocol pysod.
_HALF = 128
# Largest difference of the channels of a grey image after JPEG.
_COLOUR_NOISE = 40
# Number of masks that a data set reads before training.
_CHECKED = 64

ReadMask = Callable[[str, Sequence[int], object], np.ndarray]


def read_mask(path: str | os.PathLike[str], size: Sequence[int], like: object = "its image") -> np.ndarray:
    """Read a mask as (H, W) uint8, 0 to 255.

    Args:
        path: an image file, see :func:`read_grey`.
        size: (H, W) of the image that belongs to the mask.
        like: name of this image, for the error.

    Raises:
        DataError: see :func:`read_grey` and :func:`require_levels`; or the mask has another size.
    """
    grey = read_grey(path)
    require_size(grey.shape, size, path, what="a mask", like=like, advice="export it in the image's size")
    return require_levels(grey, path)


def require_levels(grey: np.ndarray, where: object) -> np.ndarray:
    """Return a mask, (H, W) uint8.

    Raises:
        DataError: its largest level is 1 to 15, a number instead of a grey level, or 128.

    Example:
        >>> require_levels(np.array([[0, 1]], np.uint8), "a.png")
        Traceback (most recent call last):
        visionzoo.errors.DataError: a.png: expected 255 for foreground, found 0 and 1; multiply by 255
    """
    high = int(grey.max()) if grey.size else 0
    if high == 1:
        raise DataError(where, expected="255 for foreground", found="0 and 1", advice="multiply by 255")
    if 0 < high <= _HIGHEST_NUMBER or high == _HALF:
        raise DataError(
            where,
            expected="255 for foreground",
            found=f"{high} as the largest level",
            advice="write 255 for all salient pixels",
        )
    return grey


def read_grey(path: str | os.PathLike[str], what: str = "a mask") -> np.ndarray:
    """Read the grey levels of an image as (H, W) uint8, from grey, black and white, palette, RGB, 16 bit or floats.

    65535 and the float 1.0 become 255. Alpha is dropped.

    Args:
        path: the file.
        what: the word for the image in errors.

    Raises:
        DataError: the file is missing, damaged or not an image; it has colours; only its alpha channel has a content,
            or alpha hides salient pixels; or the 16-bit levels are those of 8 bits.
    """
    data = read_bytes(path, what)
    image = opened_image(data, path, what)
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return np.array(image.convert("L"))
    if image.mode.startswith("I"):
        return _grey_of_numbers(np.asarray(image), path)
    if image.mode == "F":
        return to_uint8(np.asarray(image), path)
    grey = _grey_of_colours(np.asarray(image.convert("RGBA")), path)
    if is_cut_to_8_bits(image, data):
        return _grey_of_numbers(_numbers(data, path), path)
    if image.mode in ("P", "PA") and not np.ptp(grey) and np.ptp(np.asarray(image.convert("P"))):
        raise DataError(path, expected="grey levels in the palette", found="one colour", advice="export it in grey")
    return grey


def _numbers(data: bytes, path: object) -> np.ndarray:
    """Return the first channel of an image of several channels with 16 bits."""
    import cv2

    from visionzoo.datasets.opencv_decoding import decode_with_opencv

    pixels = decode_with_opencv(data, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DataError(path, expected="a mask of 8 bits", found="another depth", advice="export it in 8-bit grey")
    return pixels if pixels.ndim == 2 else pixels[..., 0]


def _grey_of_numbers(values: np.ndarray, path: object) -> np.ndarray:
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low >= 0 and high <= 1:
        return values.astype(np.uint8)
    if low < 0 or high > 65535 or high <= 255:
        raise DataError(
            path,
            expected="levels of 0 to 65535 in a mask of 16 bits",
            found=f"{low} to {high}",
            advice="export it in 8-bit grey, with 255 for foreground",
        )
    return (values.astype(np.uint32) // 257).astype(np.uint8)


def _grey_of_colours(pixels: np.ndarray, path: object) -> np.ndarray:
    """Return the grey levels of (H, W, 4) RGBA."""
    colours, alpha = pixels[..., :3], pixels[..., 3]
    at = np.unravel_index(int(np.ptp(colours, axis=2).argmax()), alpha.shape)
    if np.ptp(colours[at]) > _COLOUR_NOISE:
        raise DataError(
            path,
            expected="a grey mask",
            found=f"the colour RGB {tuple(colours[at].tolist())}",
            advice="export it in grey, with 255 for foreground",
        )
    grey = np.array(Image.fromarray(colours).convert("L"))
    if np.ptp(alpha) and (not np.ptp(grey) or (grey[alpha < _HALF] > SALIENT_FROM).any()):
        raise DataError(
            path,
            expected="a grey mask",
            found="one in the alpha channel",
            advice="export alpha as a grey image, with 255 for foreground",
        )
    return grey


def read_ids(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an id map as (H, W) int32: the stored numbers, or the indices of a palette image, not its colours.

    Raises:
        DataError: the file is missing, damaged or not an image, has several channels, or has negative numbers.
    """
    image = opened_image(read_bytes(path, "an id map"), path, "an id map")
    if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
        raise DataError(
            path,
            expected="one number for every pixel (8 or 16 bit grey, or palette)",
            found=f"an image of mode {image.mode}",
            advice="export the id map without colours",
        )
    ids = np.array(image).astype(np.int32)
    if ids.size and ids.min() < 0:
        raise DataError(path, expected="numbers >= 0", found=f"{ids.min()}", advice="export the id map again")
    return ids


# --- check before training ---


def check_masks(where: object, files: Sequence[tuple[str, str]], read: ReadMask, *, exif: bool = False) -> None:
    """Read some masks of a data set, and check that one of all its masks has a salient pixel.

    64 masks, evenly spread over the data set, are read. Only if none of them has a salient pixel are others read,
    until one has.

    Args:
        where: folder of the masks, for messages.
        files: path of the image and path of the mask of each sample.
        read: :func:`read_mask`, or another function of the path of a mask, the (H, W) of its image and the name of the
            image. It returns (H, W) uint8.
        exif: True if images are rotated by their EXIF orientation.

    Raises:
        DataError: masks cannot be read, or no mask has a salient pixel.
    """
    spread = sorted({number * len(files) // _CHECKED for number in range(_CHECKED)}) if files else []
    found: list[_Levels] = []
    with Findings(where, expected="masks of their images") as findings:
        for number in spread:
            found += _levels(*files[number], read, exif, findings)
        if not findings:
            _note_odd_masks(found, findings)
    chosen = set(spread)
    others = (files[number] for number in range(len(files)) if number not in chosen)
    if files and not any(each.share for each in found) and not any(_is_filled(*each, read, exif) for each in others):
        raise DataError(
            where,
            expected=f"masks with salient pixels, above {SALIENT_FROM}",
            found=f"none in {len(files)} masks",
            advice="check how the masks were exported",
        )


class _Levels(NamedTuple):
    share: float  # fraction of salient pixels
    high: int  # largest level


def _levels(image: str, mask: str, read: ReadMask, exif: bool, findings: Findings) -> Iterator[_Levels]:
    """Yield the levels of a mask, or report why it cannot be read."""
    try:
        values = read(mask, size_of_file(image, exif=exif)[::-1], image)
    except DataError as error:
        if not findings:  # the sentence states what the first one states
            findings.expected = f"{error.expected or findings.expected}"
            findings.advice = error.advice or findings.advice
        reason = error.found or error.but or f"{error}"
        entry = os.path.basename(image if error.where == image else mask)
        findings.wrong(entry, "mask", expected=f"{error.expected}", found=reason)
        return
    yield _Levels(float((values > SALIENT_FROM).mean()), int(values.max()))


def _is_filled(image: str, mask: str, read: ReadMask, exif: bool) -> bool:
    with Findings(mask, expected="a mask") as findings:
        return any(each.share for each in _levels(image, mask, read, exif, findings))


def _note_odd_masks(found: Sequence[_Levels], findings: Findings) -> None:
    low = sum(0 < each.high <= SALIENT_FROM for each in found)
    if low:
        findings.note_once(
            f"{low} of {len(found)} checked masks have grey levels, but none above {SALIENT_FROM}, and count as empty"
        )
    large = sum(each.share > 0.5 for each in found)
    if large >= 4 and large > 0.75 * len(found):
        findings.note_once(
            f"{large} of {len(found)} checked masks mark more than half of their pixels as the object (white); "
            "if the object is black in your masks, invert their files"
        )
