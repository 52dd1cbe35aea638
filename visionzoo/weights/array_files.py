"""Read tensors by name from files of arrays: ``.npz`` of ``numpy.savez``, and HDF5 as Keras writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visionzoo.errors import CheckpointError, MissingExtra
from visionzoo.weights.safe_load import BROKEN, is_hdf5

# Compression by zlib makes a file at most about 1030 times smaller.
_MOST_RATIO = 1100


def read_array_file(path: Path) -> dict[str, Tensor]:
    """Read all arrays of numbers of a file. Texts in HDF5 are left out.

    Args:
        path: a file for which :func:`visionzoo.weights.safe_load.holds_arrays` is True.

    Returns:
        Tensors by name; in HDF5 the name is the path, ``model_weights/flow/flow/kernel:0``.

    Raises:
        CheckpointError: the file is damaged, or has no array of numbers.
        MissingExtra: the file is HDF5 and h5py is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/a.npz", **{"conv1/weights": np.ones((3, 3))})
        ...     tensors = read_array_file(Path(folder, "a.npz"))
        >>> {name: tuple(value.shape) for name, value in tensors.items()}
        {'conv1/weights': (3, 3)}
    """
    arrays = _read_hdf5(path) if is_hdf5(path) else _read_npz(path)
    if not arrays:
        raise CheckpointError(path, expected="arrays of numbers", found="none", advice="save the weights into it")
    return {name: _as_tensor(path, name, array) for name, array in arrays.items()}


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except BROKEN as error:
        raise CheckpointError(
            path, expected="arrays by name as numpy.savez writes them", found=" ".join(f"{error}".split())[:200]
        ) from error


def _read_hdf5(path: Path) -> dict[str, Any]:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "medical", where=str(path)) from error
    arrays: dict[str, Any] = {}
    most = _MOST_RATIO * path.stat().st_size

    def read(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iufb":
            if item.nbytes > most:
                raise ValueError(f"{name} states {item.nbytes:,} bytes")
            arrays[name] = np.asarray(item[()])

    try:
        with h5py.File(path, "r") as file:
            file.visititems(read)
    except BROKEN as error:
        reason = " ".join(f"{error}".split())[:200] or type(error).__name__
        raise CheckpointError(
            path, expected="a whole HDF5 file", but=reason, advice="copy or download it again"
        ) from error
    return arrays


def _as_tensor(path: Path, name: str, array: np.ndarray) -> Tensor:
    try:
        return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))
    except TypeError as error:
        raise CheckpointError(
            f"{path}: {name}", expected="numbers", found=f"dtype {array.dtype}", advice="save the variable as float32"
        ) from error
