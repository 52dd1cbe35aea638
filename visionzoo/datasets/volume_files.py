"""Volumes, slices and label maps in files: NIfTI, ``.mgz``, ``.npz``, ``.npy`` and grey images.

==================  ===================================================================================
``.nii, .nii.gz``   nibabel (extra ``medical``). The sform is used, else the qform.
``.mgz, .mgh``      nibabel.
``.npz``            ``vol``, and optional ``seg`` (labels) and ``affine``, as VoxelMorph stores them.
``.npy``            one array.
``.png`` and so on  the grey levels of a 2-D image, 8 or 16 bits.
==================  ===================================================================================

Arrays stay as stored: no axis is turned or flipped.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visionzoo.datasets.decoding import opened_image, read_bytes
from visionzoo.datasets.findings import Findings
from visionzoo.datasets.mask_files import read_ids
from visionzoo.datasets.nibabel_files import MOST_VOXELS, import_nibabel, open_nifti, stated_shape
from visionzoo.datasets.nibabel_files import has_nibabel as has_nibabel
from visionzoo.errors import DataError, ZooError, in_cwd
from visionzoo.structures.image_names import IMAGE_ENDINGS
from visionzoo.structures.volume_names import ARRAYS, MGH, NIFTI, ending_of
from visionzoo.structures.volume_names import stem_of as stem_of
from visionzoo.structures.volumes import Volume

ENDINGS = (*NIFTI, *MGH, *ARRAYS, *IMAGE_ENDINGS)
# Endings of written files; further ones are written as .nii.gz or .png, see `written_ending`.
WRITTEN = (".nii.gz", ".mgz", ".npz", ".npy", ".png")

_AGAIN = "copy or download it again"
_BROKEN = (
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    LookupError,
    zipfile.BadZipFile,
    ArithmeticError,
    MemoryError,
    NotImplementedError,  # of zipfile, for an unknown compression
    TypeError,
    RuntimeError,  # of zipfile, for an encrypted entry
    SyntaxError,
    tokenize.TokenError,  # of NumPy, for the header of an array
    struct.error,
)


def written_ending(ending: str) -> str:
    """Return the ending of a result for the ending of its input.

    Example:
        >>> [written_ending(ending) for ending in (".nii.gz", ".nii", ".npz", ".jpg")]
        ['.nii.gz', '.nii.gz', '.npz', '.png']
    """
    return ending if ending in WRITTEN else ".nii.gz" if ending in (*NIFTI, *MGH) else ".png"


def read_volume(path: str | os.PathLike[str], note: Callable[[str], object] | None = None) -> Volume:
    """Read an image of two or three axes.

    NaN voxels are read as 0 and noted; axes of one voxel at the end are removed.

    Args:
        path: the file.
        note: takes a sentence about each value that is read in its obvious meaning; default: one warning.

    Returns:
        The volume. ``data`` is float32, or the numbers as stored if the file holds integers without a scale.

    Raises:
        DataError: the file is missing, damaged, of an unknown kind, a series, or an image without contrast.
        MissingExtra: nibabel is needed and is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/a.npz", vol=np.eye(4), seg=np.eye(4, dtype=int))
        ...     volume = read_volume(f"{folder}/a.npz")
        >>> volume.shape, volume.labels.dtype.kind
        ((4, 4), 'i')
    """
    if note is None:
        with Findings(path, expected="a volume") as findings:
            return read_volume(path, findings.note_once)
    volume = _read(path, note)
    data = _as_numbers(volume.data, path, note)
    if data.min() == data.max():
        raise DataError(
            path,
            expected="an image with at least two values",
            found=f"the value {data.flat[0]:g} at every voxel",
            advice="check that the file holds an image",
        )
    return Volume(data, volume.affine, volume.labels, volume.header, volume.ending)


def axes_of(path: str | os.PathLike[str]) -> int:
    """Return the number of axes of an image, 2 or 3. Of NIfTI and MGH, only the header is read.

    Raises:
        DataError: as for :func:`read_volume`.
        MissingExtra: nibabel is needed and is not installed.
    """
    if ending_of(path) not in (*NIFTI, *MGH):
        return read_volume(path, lambda text: None).axes
    _require_file(path)
    return len(_plain_shape(stated_shape(path), path))


def read_labels(path: str | os.PathLike[str], note: Callable[[str], object] | None = None) -> Volume:
    """Read a label map: whole numbers, also if they are stored as floats. ``.npz`` needs ``seg``, or ``vol`` as labels.

    Args:
        path: the file.
        note: as for :func:`read_volume`.

    Returns:
        A volume whose ``data`` are the labels, as integers.

    Raises:
        DataError: as for :func:`read_volume`, or a label is not a whole number.
    """
    if note is None:
        with Findings(path, expected="a label map") as findings:
            return read_labels(path, findings.note_once)
    if ending_of(path) in IMAGE_ENDINGS and os.path.isfile(path):
        return Volume(read_ids(path), ending=ending_of(path))
    volume = _read(path, note)
    data = volume.data if volume.labels is None else volume.labels
    return Volume(whole_numbers(data, path), volume.affine, None, volume.header, volume.ending)


def whole_numbers(values: np.ndarray, where: object) -> np.ndarray:
    """Return labels as integers.

    Raises:
        DataError: a value is not a whole number.

    Example:
        >>> whole_numbers(np.array([0.0, 24.0]), "labels.nii").dtype
        dtype('int32')
    """
    if values.dtype.kind in "iub":
        wide = values.dtype.kind == "u" and values.dtype.itemsize > 1  # torch lacks these types
        return values.astype(np.uint8) if values.dtype == bool else values.astype(np.int64) if wide else values
    wrong = ~(np.isfinite(values) & (values == np.round(values)))
    if wrong.any():
        raise DataError(
            where,
            expected="whole numbers as labels",
            found=f"{values[wrong].flat[0]:g} at {int(wrong.sum())} voxels",
            advice="give the label map, not the image; resample label maps by the nearest voxel only",
        )
    return values.astype(np.int32)


def _as_numbers(data: np.ndarray, path: object, note: Callable[[str], object]) -> np.ndarray:
    """Return an image without NaN voxels."""
    if data.dtype.kind not in "f":
        return data.astype(np.uint8) if data.dtype == bool else data
    data = data.astype(np.float32)
    missing = np.isnan(data)
    if missing.any() and not missing.all():
        note(f"{int(missing.sum())} voxels are NaN and are read as 0")
        data[missing] = 0
    if not np.isfinite(data).all():
        found = f"{int((~np.isfinite(data)).sum())} voxels that are NaN or infinite"
        raise DataError(path, expected="finite intensities", found=found, advice="export the image again")
    return data


# --- reading by kind ---


def _read(path: str | os.PathLike[str], note: Callable[[str], object]) -> Volume:
    ending = ending_of(path)
    _require_file(path)
    if ending not in ENDINGS:
        raise DataError(
            path,
            expected="a volume or slice (.nii.gz, .nii, .mgz, .npz, .npy or .png)",
            found=f"the ending {ending!r}" if ending else "no ending",
            advice="convert it to NIfTI",
        )
    try:
        volume = _READERS[ending](Path(path), note)
    except ZooError as error:
        raise error.at(path) from error
    except _BROKEN as error:
        why = _reason(error)
        raise DataError(path, expected=f"a complete {ending} file", but=why, advice=_AGAIN) from error
    return volume


def _require_file(path: str | os.PathLike[str]) -> None:
    if not os.path.isfile(path):
        found = "a folder" if os.path.isdir(path) else f"no such file{in_cwd(path)}"
        raise DataError(path, expected="a volume", found=found, advice="check the path")


def _reason(error: BaseException) -> str:
    text = f"{getattr(error, 'strerror', None) or error}".partition("\n")[0].strip().rstrip(".") or type(error).__name__
    if isinstance(error, MemoryError):
        return "its header states more values than fit into memory"
    return "it breaks off" if text.startswith(("mmap length", "EOF: ")) else text


def _read_nibabel(path: Path, note: Callable[[str], object]) -> Volume:
    image, affine, values = open_nifti(path, note)
    return Volume(values.reshape(_plain_shape(values.shape, path)), affine, None, image.header, ending_of(path))


def _plain_shape(shape: tuple[int, ...], path: object) -> tuple[int, ...]:
    """Return the shape without axes of one voxel at the end."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        raise DataError(
            path,
            expected="one volume",
            found=f"a series of {math.prod(shape[3:])} volumes, {'x'.join(map(str, shape))}",
            advice="save one of them as its own file",
        )
    if len(shape) < 2 or min(shape) < 2:
        found = "x".join(map(str, shape)) or "one number"
        raise DataError(path, expected="two or three axes of at least 2 voxels", found=found, advice="check the file")
    return shape


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the arrays of a ``.npz`` file by name.

    Raises:
        DataError: the file is missing or damaged, or an array does not hold numbers.
    """
    _require_file(path)
    try:
        _require_entries(path)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: _numeric(arrays[name], path) for name in arrays}
    except ZooError:
        raise
    except _BROKEN as error:
        raise DataError(path, expected="a complete .npz file", but=_reason(error), advice=_AGAIN) from error


def _require_entries(path: str | os.PathLike[str]) -> None:
    """Raise an error for a file that is not an archive, or states more bytes than an array may have."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.file_size > 8 * MOST_VOXELS:
                raise DataError(
                    path, expected=f"at most {MOST_VOXELS:,} voxels", found=f"{entry.file_size:,} bytes", advice=_AGAIN
                )


def _read_npz(path: Path, note: Callable[[str], object]) -> Volume:
    arrays = read_arrays(path)
    key = next((name for name in ("vol", "seg") if name in arrays), next(iter(arrays)) if len(arrays) == 1 else None)
    if key is None:
        raise DataError(path, expected="an array called vol", found=", ".join(arrays) or "none", advice="rename one")
    data = arrays[key].reshape(_plain_shape(arrays[key].shape, path))
    labels = arrays["seg"] if key == "vol" and "seg" in arrays else None
    if labels is not None and labels.size != data.size:
        raise DataError(
            path, expected=f"seg of the shape {data.shape} of vol", found=f"{labels.shape}", advice="save both again"
        )
    affine = arrays["affine"].astype(np.float64) if "affine" in arrays else None
    return Volume(
        data, affine, None if labels is None else whole_numbers(labels.reshape(data.shape), path), None, ".npz"
    )


def _read_npy(path: Path, note: Callable[[str], object]) -> Volume:
    data = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    return Volume(_numeric(data.reshape(_plain_shape(data.shape, path)), path), ending=".npy")


def _numeric(data: np.ndarray, path: object) -> np.ndarray:
    if data.dtype.kind not in "iufb":
        raise DataError(path, expected="numbers", found=f"values of type {data.dtype}", advice="save numbers")
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    return data.astype(np.float32) if data.dtype == np.float16 else data


def _read_image(path: Path, note: Callable[[str], object]) -> Volume:
    image = opened_image(read_bytes(path, "a slice"), path, "a slice")
    is_grey = image.mode in ("1", "L", "F") or image.mode.startswith("I")
    if not is_grey and image.mode not in ("LA", "P", "RGB", "RGBA"):
        raise DataError(path, expected="a grey image", found=f"mode {image.mode}", advice="export it in 8-bit grey")
    if not is_grey:
        note("the colours of the image are read as grey levels")
    pixels = np.asarray(image if is_grey and image.mode != "1" else image.convert("L"))
    return Volume(pixels.reshape(_plain_shape(pixels.shape, path)), ending=ending_of(path))


_READERS: dict[str, Callable[[Path, Callable[[str], object]], Volume]] = {
    **dict.fromkeys((*NIFTI, *MGH), _read_nibabel),
    ".npz": _read_npz,
    ".npy": _read_npy,
    **dict.fromkeys(IMAGE_ENDINGS, _read_image),
}


# --- writing ---


def volume_bytes(data: np.ndarray, like: Volume, ending: str = "") -> bytes:
    """Return the contents of a file with other values on the grid of a volume.

    NIfTI and ``.mgz`` keep header and affine of ``like``; only the type of the values changes.

    Args:
        data: (*S) of the shape of ``like``. Images (PNG) take intensities of its range, or labels up to 65535.
        like: the volume with this grid.
        ending: ending of the file; default: that of ``like``.

    Raises:
        MissingExtra: nibabel is needed and is not installed.
    """
    ending = ending or like.ending
    if ending in (*NIFTI, *MGH):
        return _nibabel_bytes(data, like, ending)
    file = io.BytesIO()
    if ending == ".npz":
        affine: dict[str, Any] = {} if like.affine is None else {"affine": like.affine}
        np.savez_compressed(file, **{"seg" if data.dtype.kind in "iu" else "vol": data, **affine})
    elif ending == ".npy":
        np.save(file, data)
    else:
        Image.fromarray(_levels(data, like)).save(file, format="PNG")
    return file.getvalue()


def _levels(data: np.ndarray, like: Volume) -> np.ndarray:
    """Return grey levels of 8 or 16 bits; floats that are not levels are scaled to 8 bits."""
    if data.dtype.kind == "f" and like.data.dtype.kind == "f":
        low, high = float(like.data.min()), float(like.data.max())
        data = (data - low) * (255 / max(high - low, 1e-12))
    top = 65535 if max(float(data.max()), float(like.data.max())) > 255 else 255
    return np.clip(np.rint(data), 0, top).astype(np.uint8 if top == 255 else np.uint16)


def _nibabel_bytes(data: np.ndarray, like: Volume, ending: str) -> bytes:
    nibabel = import_nibabel(f"writing {ending}")
    is_mgh = ending in MGH
    kind = nibabel.MGHImage if is_mgh else nibabel.Nifti1Image
    own = like.header if isinstance(like.header, kind.header_class) else None
    values = _storable(data)
    affine = np.eye(4) if like.affine is None and own is None else like.affine
    image = kind(values, affine, own)
    image.set_data_dtype(values.dtype)
    if not is_mgh:
        image.header.set_slope_inter(1, 0)
        image.header["cal_min"] = image.header["cal_max"] = 0
    content = image.to_bytes()
    return gzip.compress(content, 6, mtime=0) if ending in (".nii.gz", ".mgz") else content


def _storable(data: np.ndarray) -> np.ndarray:
    """Return values of a type that all readers of the format accept."""
    if data.dtype.kind == "f":
        return data.astype(np.float32)
    if data.dtype == np.uint8 or data.dtype == bool:
        return data.astype(np.uint8)
    small = data.size == 0 or (data.min() >= -(2**15) and data.max() < 2**15)
    return data.astype(np.int16 if small else np.int32)
