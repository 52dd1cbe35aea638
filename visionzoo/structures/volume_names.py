"""Names of volumes in files, lists and on command lines. This module imports no library, so that ``--help`` is fast."""

from __future__ import annotations

import os

# Columns of a CSV file of pairs. All but the first two are optional.
COLUMNS = ("fixed", "moving", "fixed_labels", "labels", "fixed_mask", "fixed_points", "points")

# Formats of a displacement field in NIfTI files, see :mod:`visionzoo.datasets.field_files`.
FIELD_FORMATS = ("itk", "voxel", "l2r")

# How volumes are sampled. ``auto`` is ``nearest`` for label maps and ``linear`` for images.
INTERPOLATIONS = ("auto", "linear", "nearest", "onehot")

# Endings of files of volumes.
NIFTI, MGH, ARRAYS = (".nii", ".nii.gz"), (".mgz", ".mgh"), (".npz", ".npy")


def ending_of(path: str | os.PathLike[str]) -> str:
    """Return the ending of a path in lower case; ``.nii.gz`` is one ending.

    Example:
        >>> ending_of("IXI002-T1.NII.GZ"), ending_of("a.b/c.npz")
        ('.nii.gz', '.npz')
    """
    name = os.path.basename(os.fspath(path)).lower()
    return ".nii.gz" if name.endswith(".nii.gz") else os.path.splitext(name)[1]


def stem_of(path: str | os.PathLike[str]) -> str:
    """Return the name of a file without its ending.

    Example:
        >>> stem_of("scans/IXI002-T1.nii.gz")
        'IXI002-T1'
    """
    name = os.path.basename(os.fspath(path))
    return name[: len(name) - len(ending_of(name))]
