"""Affine maps in text files, from the space of the fixed image to that of the moving image.

========  ===============================================================================================
``.tfm``  ITK's ``AffineTransform``, in millimetres LPS. SimpleITK, ANTs and 3D Slicer read it.
``.txt``  the matrix in millimetres RAS, (4, 4) for volumes and (3, 3) for 2-D images; ``#`` begins a comment.
========  ===============================================================================================
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from visionzoo.datasets.volume_files import ending_of
from visionzoo.errors import DataError, InputError, in_cwd
from visionzoo.structures.volumes import is_invertible
from visionzoo.system.text_files import read_text

ENDINGS = (".tfm", ".txt")

_HEAD = "#Insight Transform File V1.0"
_DIRECTION = "# from millimetres RAS of the fixed image to those of the moving image: moving = matrix * fixed"
_MATRIX_KINDS = ("AffineTransform", "MatrixOffsetTransformBase")
_EXPECTED = "an affine map: ITK's AffineTransform, or a matrix of 4 lines of 4 numbers (2-D: 3 of 3)"


def tfm_text(matrix: np.ndarray) -> str:
    """Return the contents of ITK's file of an affine map.

    Args:
        matrix: (n, n + 1), millimetres RAS, n = 2 or 3.

    Example:
        >>> print(tfm_text(np.array([[1.0, 0.0, 3.0], [0.5, 2.0, 4.0]])).splitlines()[3])
        Parameters: 1.0 0.0 0.5 2.0 -3.0 -4.0
    """
    axes = len(matrix)
    signs = _lps(axes)
    flipped = signs[:, None] * np.asarray(matrix, np.float64) * np.append(signs, 1)
    values = [*flipped[:, :axes].ravel(), *flipped[:, axes]]
    return (
        f"{_HEAD}\n#Transform 0\nTransform: AffineTransform_double_{axes}_{axes}\n"
        f"Parameters: {' '.join(_number(value) for value in values)}\n"
        f"FixedParameters: {' '.join(['0'] * axes)}\n"
    )


def matrix_text(matrix: np.ndarray) -> str:
    """Return the contents of a text file of an affine map (n, n + 1) in millimetres RAS.

    Example:
        >>> print(matrix_text(np.array([[1.0, 0.0, 3.0], [0.0, 2.0, 4.0]])).splitlines()[1:])
        ['1.0 0.0 3.0', '0.0 2.0 4.0', '0.0 0.0 1.0']
    """
    axes = len(matrix)
    rows = [*np.asarray(matrix, np.float64), [0.0] * axes + [1.0]]
    return "\n".join([_DIRECTION, *(" ".join(_number(value) for value in row) for row in rows)]) + "\n"


def read_affine(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an affine map.

    Returns:
        (n, n + 1) float64, millimetres RAS.

    Raises:
        DataError: the file is missing, is not an affine map, or its map cannot be inverted.
        InputError: the file is of another kind.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.tfm").write_text(tfm_text(np.array([[1.0, 0.0, 3.0], [0.0, 2.0, 4.0]])))
        ...     read_affine(f"{folder}/a.tfm").tolist()
        [[1.0, 0.0, 3.0], [0.0, 2.0, 4.0]]
    """
    if ending_of(path) not in ENDINGS:
        raise InputError(
            path, expected="an affine map in a .tfm or .txt file", found=ending_of(path) or "no ending",
            advice="convert it, for example with SimpleITK.WriteTransform",
        )  # fmt: skip
    if not Path(path).exists():
        raise DataError(
            path, expected="the file of an affine map", found=f"none{in_cwd(path)}", advice="check the path"
        )
    text = read_text(Path(path), expected=_EXPECTED, advice="check the path")
    matrix = _of_itk(text, path) if text.lstrip().startswith("#Insight") else _of_numbers(text, path)
    if not is_invertible(matrix):
        found = "one with determinant 0" if np.isfinite(matrix).all() else "numbers that are not finite"
        raise DataError(path, expected="a map that can be inverted", found=found, advice="register again")
    return matrix


def _lps(axes: int) -> np.ndarray:
    return np.array([-1.0, -1.0, 1.0][:axes])


def _number(value: float) -> str:
    return repr(float(value) + 0.0)


def _of_itk(text: str, path: object) -> np.ndarray:
    entries = dict(line.partition(":")[::2] for line in text.splitlines() if not line.startswith("#"))
    kind = entries.get("Transform", "").strip()
    values = _floats(entries.get("Parameters", ""), path)
    axes = {12: 3, 6: 2}.get(len(values), 0)
    if not kind.startswith(_MATRIX_KINDS) or not axes or text.count("Transform:") > 1:
        found = f"{text.count('Transform:')} transforms" if text.count("Transform:") > 1 else kind or "no transform"
        raise DataError(path, expected=_EXPECTED, found=found, advice="save it as one AffineTransform")
    linear, shift = np.array(values[: axes * axes]).reshape(axes, axes), np.array(values[axes * axes :])
    centre = np.array(_floats(entries.get("FixedParameters", ""), path) or [0.0] * axes)[:axes]
    matrix = np.column_stack([linear, shift + centre - linear @ centre])
    signs = _lps(axes)
    return signs[:, None] * matrix * np.append(signs, 1)


def _of_numbers(text: str, path: object) -> np.ndarray:
    rows = [_floats(line, path) for line in (line.partition("#")[0] for line in text.splitlines()) if line.strip()]
    side = len(rows)
    if side not in (3, 4) or any(len(row) != side for row in rows) or rows[-1] != [0.0] * (side - 1) + [1.0]:
        raise DataError(path, expected=_EXPECTED, found=f"{side} lines of numbers", advice="correct the file")
    return np.array(rows)[:-1]


def _floats(text: str, path: object) -> list[float]:
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise DataError(path, expected=_EXPECTED, but=f"it has other text ({error})", advice="correct it") from error
