"""Displacement fields in NIfTI files, in three formats.

=========  ==========================================================================================================
``itk``    (X, Y, Z, 1, 3), intent 1007, in millimetres and LPS: ``d_LPS = (-, -, +) d_RAS`` with
           ``d_RAS = A[:3, :3] u``. SimpleITK and ANTs read it as a displacement transform.
``voxel``  (3, X, Y, Z), in voxels of the fixed image, as VoxelMorph writes it.
``l2r``    (X, Y, Z, 3), in voxels of the fixed image, as Learn2Reg's evaluation reads it.
=========  ==========================================================================================================

Where nibabel is not installed, fields of arrays and grey images are ``.npz`` files with ``vol`` (n, *S) in voxels, and
``affine`` if there is one.

A is the affine of the fixed image, which each file has. Component i of u displaces along axis i. For 2-D images there
are two components: (X, Y, 1, 1, 2), (2, X, Y) and (X, Y, 2).
"""

from __future__ import annotations

import gzip
import io
import os
from typing import Any

import numpy as np

from visionzoo.datasets.volume_files import NIFTI, ending_of, import_nibabel, open_nifti, read_arrays
from visionzoo.errors import DataError, InputError, require_known
from visionzoo.structures.volume_names import FIELD_FORMATS as FIELD_FORMATS
from visionzoo.structures.volumes import Volume, plane_affine

_VECTOR = 1007
_NAMES = {"voxel": "voxels first", "l2r": "voxels last"}


def millimetres(field: np.ndarray, affine: np.ndarray | None) -> np.ndarray:
    """Return a field in voxels as displacements in millimetres, LPS.

    Args:
        field: (n, *S), in voxels.
        affine: (4, 4) of the fixed image; None for the identity.

    Returns:
        (n, *S) float64.

    Example:
        >>> millimetres(np.ones((3, 1, 1, 1)), np.diag([2.0, -1.0, 3.0, 1.0])).ravel().tolist()
        [-2.0, 1.0, 3.0]
    """
    axes = len(field)
    return np.tensordot(_lps(axes)[:, None] * plane_affine(affine, axes)[:axes, :axes], field, axes=1)


def voxels(field: np.ndarray, affine: np.ndarray | None) -> np.ndarray:
    """Return a field in millimetres, LPS, as displacements in voxels; the inverse of :func:`millimetres`."""
    axes = len(field)
    block = _lps(axes)[:, None] * plane_affine(affine, axes)[:axes, :axes]
    return np.tensordot(np.linalg.inv(block), np.asarray(field, np.float64), axes=1)


def _lps(axes: int) -> np.ndarray:
    return np.array([-1.0, -1.0, 1.0][:axes])


def field_bytes(field: np.ndarray, fixed: Volume, form: str = "itk") -> bytes:
    """Return the contents of a ``.nii.gz`` file of a field.

    Args:
        field: (n, *S), in voxels of the fixed image.
        fixed: the fixed image, whose header and affine the file has.
        form: ``itk``, ``voxel`` or ``l2r``.

    Raises:
        MissingExtra: nibabel is not installed.
        UnknownName: an unknown format.
    """
    require_known(form, FIELD_FORMATS, "field format")
    nibabel = import_nibabel("writing a field")
    values = _stored(field, fixed, form).astype(np.float32)
    own = fixed.header.copy() if isinstance(fixed.header, nibabel.Nifti1Header) else None
    affine = np.eye(4) if fixed.affine is None else fixed.affine
    image = nibabel.Nifti1Image(values, affine, own)
    image.set_data_dtype(np.float32)
    image.header.set_slope_inter(1, 0)
    image.header["cal_min"] = image.header["cal_max"] = 0
    if form == "itk":
        image.header.set_intent(_VECTOR)
    else:
        image.header.set_intent(0, name=_NAMES[form])
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), 1, mtime=0)  # floats: higher levels are slow and hardly smaller


def array_bytes(field: np.ndarray, fixed: Volume) -> bytes:
    """Return the contents of a ``.npz`` file of a field, (n, *S) in voxels of the fixed image."""
    file = io.BytesIO()
    affine: dict[str, Any] = {} if fixed.affine is None else {"affine": fixed.affine}
    np.savez_compressed(file, vol=field.astype(np.float32), **affine)
    return file.getvalue()


def _stored(field: np.ndarray, fixed: Volume, form: str) -> np.ndarray:
    if form == "voxel":
        return field
    if form == "l2r":
        return np.moveaxis(field, 0, -1)
    last = np.moveaxis(millimetres(field, fixed.affine), 0, -1)
    return last.reshape(*field.shape[1:], *[1] * (4 - len(field)), len(field))


def read_field(path: str | os.PathLike[str]) -> tuple[np.ndarray, Volume]:
    """Read a displacement field of any of the three formats, or of a ``.npz`` file.

    Returns:
        The field, (n, *S) float32 in voxels, and a volume with its grid and zeros as data. The header is that of the
        file without its intent, so that an image on this grid can have it.

    Raises:
        DataError: the file is missing, damaged, no field, or has values that are not finite.
        InputError: the file is of another kind.
        MissingExtra: nibabel is not installed.
    """
    if ending_of(path) == ".npz":
        return _read_arrays(path)
    if ending_of(path) not in NIFTI:
        found = ending_of(path) or "no ending"
        raise InputError(path, expected="a field in a .nii.gz or .npz file", found=found, advice="give such a file")
    image, affine, values = open_nifti(path)
    form = _form_of(image.header, values.shape)
    if form is None:
        raise DataError(
            path,
            expected="a displacement field: (X, Y, Z, 1, 3) in mm, or (3, X, Y, Z) or (X, Y, Z, 3) in voxels",
            found=f"shape {values.shape}",
            advice="give the file of a field, not an image",
        )
    _require_finite(values, path)
    field = _components_first(values, form)
    field = voxels(field, affine) if form == "itk" else field
    field = np.ascontiguousarray(field, np.float32)
    header = image.header.copy()
    header.set_intent(0)
    return field, Volume(np.zeros(field.shape[1:], np.uint8), affine, None, header, ending_of(path))


def _read_arrays(path: str | os.PathLike[str]) -> tuple[np.ndarray, Volume]:
    arrays = read_arrays(path)
    field = arrays.get("vol", np.zeros(()))
    if field.ndim not in (3, 4) or len(field) != field.ndim - 1:
        raise DataError(
            path,
            expected="a field called vol, (3, X, Y, Z) or (2, X, Y)",
            found=f"shape {field.shape}" if "vol" in arrays else ", ".join(arrays) or "nothing",
            advice="give the file of a field, not an image",
        )
    _require_finite(field, path)
    grid = np.zeros(field.shape[1:], np.uint8)
    return np.asarray(field, np.float32), Volume(grid, arrays.get("affine"), ending=".npz")


def _require_finite(values: np.ndarray, path: object) -> None:
    if not np.isfinite(values).all():
        raise DataError(path, expected="finite displacements", found="NaN or infinity", advice="register again")


def _form_of(header: object, shape: tuple[int, ...]) -> str | None:
    """Return the format of a field by the shape, and by the name of the intent if both ends fit."""
    if len(shape) == 5 and shape[3] == 1 and shape[4] == (2 if shape[2] == 1 else 3):
        return "itk"
    axes = len(shape) - 1
    if axes not in (2, 3):
        return None
    fits = [form for form, at in (("l2r", -1), ("voxel", 0)) if shape[at] == axes]
    named = [form for form in fits if _NAMES[form] == header.get_intent()[2]]  # type: ignore[attr-defined]
    return next(iter(named or fits), None)


def _components_first(values: np.ndarray, form: str) -> np.ndarray:
    if form == "voxel":
        return values
    if form == "itk":
        values = values[:, :, 0, 0] if values.shape[2] == 1 and values.shape[4] == 2 else values[:, :, :, 0]
    return np.moveaxis(values, -1, 0)
