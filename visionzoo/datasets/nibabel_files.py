"""Files that nibabel reads: NIfTI and MGH, packed or not, of any number of axes."""

from __future__ import annotations

import gzip
import io
import logging
import math
import os
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from visionzoo.datasets.decoding import read_bytes
from visionzoo.errors import DataError, MissingExtra
from visionzoo.structures.file_kinds import kind_of
from visionzoo.structures.volume_names import MGH, ending_of

# Largest number of voxels, 1024 x 1024 x 1024.
MOST_VOXELS = 2**30
# Distance of the corners by sform and by qform, in voxels, from which they are said to disagree.
_DISAGREE = 0.1
_HEAD = 2048  # bytes with every header
_TAIL = 2**16  # bytes that a file may have after its voxels
_AGAIN = "copy or download it again"
_BROKEN = (OSError, EOFError, zlib.error, ValueError, LookupError, ArithmeticError, TypeError, MemoryError)

Note = Callable[[str], object]


def import_nibabel(where: object) -> Any:
    """Return the module ``nibabel``.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import nibabel
    except ImportError as error:
        raise MissingExtra("nibabel", "medical", where=f"{where}") from error
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # it prints repairs of a header
    return nibabel


def has_nibabel() -> bool:
    """Return True if nibabel is installed."""
    try:
        import_nibabel("")
    except MissingExtra:
        return False
    return True


def open_nifti(
    path: str | os.PathLike[str], note: Note = lambda text: None
) -> tuple[Any, np.ndarray | None, np.ndarray]:
    """Open a file that nibabel reads, of any number of axes.

    Not more bytes are unpacked than the header states.

    Returns:
        The image of nibabel, its affine or None, and its values: integers without a scale as stored, else float32.

    Raises:
        DataError: the file is missing, damaged or of another format, or its header states too many voxels.
        MissingExtra: nibabel is not installed.
    """
    nibabel = import_nibabel(path)
    packed = read_bytes(path, "a volume")
    image = _header_of(packed, path, nibabel)
    end = _end_of(image, len(packed), path)
    content = _unpacked(packed, end + _TAIL, path)
    if len(content) < end:
        raise _breaks_off(path)
    try:
        image = type(image).from_bytes(content)
        return image, _affine_of(image, note), _values_of(image)
    except _faults(nibabel) as error:
        raise DataError(
            path, expected=f"a complete {ending_of(path)} file", but=_reason(error), advice=_AGAIN
        ) from error


def stated_shape(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Return the shape that the header of a file states, without reading its voxels.

    Raises:
        DataError: the file is missing or has no such header.
        MissingExtra: nibabel is not installed.
    """
    return tuple(_header_of(read_bytes(path, "a volume"), path, import_nibabel(path)).shape)


def _header_of(packed: bytes, path: str | os.PathLike[str], nibabel: Any) -> Any:
    """Return the image of nibabel for the first bytes of a file; its voxels cannot be read."""
    head = _unpacked(packed, _HEAD, path)
    is_mgh = ending_of(path) in MGH
    kind = nibabel.MGHImage if is_mgh else _nifti_kind(head, nibabel)
    try:
        image = kind.from_bytes(head)
        values = image.get_data_dtype().kind
    except _faults(nibabel) as error:
        expected = f"the header of a {ending_of(path)} file"
        other = None if packed.startswith(b"\x1f\x8b") else kind_of(packed)
        fault = {"found": other.noun} if other else {"but": _reason(error)}
        raise DataError(
            path, expected=expected, **fault, advice=f"correct the ending of its name, or {_AGAIN}"
        ) from error
    if values not in "iuf":
        raise DataError(path, expected="one number per voxel", found="colours", advice="export it in grey levels")
    return image


def _end_of(image: Any, size: int, path: object) -> int:
    """Return the number of bytes up to the last voxel."""
    shape, offset = tuple(map(int, image.shape)), int(image.dataobj.offset)
    count = math.prod(shape)
    if count > MOST_VOXELS or min(shape, default=0) < 0 or offset < 0:
        raise DataError(
            path,
            expected=f"at most {MOST_VOXELS:,} voxels",
            found=f"a header that states {'x'.join(map(str, shape))}",
            advice="copy or download it again, or save a part of it",
        )
    return offset + count * image.get_data_dtype().itemsize


def _faults(nibabel: Any) -> tuple[type[Exception], ...]:
    """Return the exceptions of files that are damaged or of another format."""
    return (
        *_BROKEN,
        nibabel.spatialimages.HeaderDataError,
        nibabel.wrapstruct.WrapStructError,
        nibabel.freesurfer.mghformat.MGHError,
        nibabel.filebasedimages.ImageFileError,
    )


def _reason(error: BaseException) -> str:
    return f"{getattr(error, 'strerror', None) or error}".partition("\n")[0].strip().rstrip(".") or type(error).__name__


def _unpacked(packed: bytes, most: int, path: object) -> bytes:
    """Return the first bytes of the unpacked content. At its end, the checksum is compared."""
    if not packed.startswith(b"\x1f\x8b"):
        return packed[:most]
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            return file.read(most)
    except EOFError as error:
        raise _breaks_off(path) from error
    except (OSError, zlib.error) as error:
        raise DataError(path, expected="intact compressed data", but="its bytes are damaged", advice=_AGAIN) from error


def _breaks_off(path: object) -> DataError:
    return DataError(path, expected="a complete file", but="it breaks off", advice=_AGAIN)


def _nifti_kind(content: bytes, nibabel: Any) -> Any:
    """Return the class of NIfTI-2 for a header of 540 bytes, else that of NIfTI-1."""
    sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    return nibabel.Nifti2Image if 540 in sizes else nibabel.Nifti1Image


def _values_of(image: Any) -> np.ndarray:
    proxy = image.dataobj
    has_scale = getattr(proxy, "slope", 1) != 1 or getattr(proxy, "inter", 0) != 0
    is_whole = image.get_data_dtype().kind in "iu" and not has_scale
    values = np.asanyarray(proxy) if is_whole else image.get_fdata(dtype=np.float32)
    return np.asarray(values, values.dtype.newbyteorder("="))


def _affine_of(image: Any, note: Note) -> np.ndarray | None:
    header = image.header
    if not hasattr(header, "get_sform"):
        return np.asarray(image.affine, np.float64)
    (sform, has_sform), (qform, has_qform) = header.get_sform(coded=True), header.get_qform(coded=True)
    if not has_sform and not has_qform:
        note("the header states no affine (sform and qform have code 0)")
        return None
    if has_sform and has_qform:
        shape = np.array([*image.shape, 1, 1][:3])
        corners = np.array([[0, 0, 0, 1], [*(shape - 1), 1]])
        moved = float(np.abs(corners @ (sform - qform).T).max())
        if moved > _DISAGREE * np.linalg.norm(sform[:3, :3], axis=0).min():
            note(f"sform and qform disagree by {moved:.3g} mm, and the sform is used")
    return np.asarray(sform if has_sform else qform, np.float64)
