"""Writing of CIFAR's pickles in the format of Python 2 and NumPy 1; the bytes do not depend on installed versions."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.tiny.shapes import draw_class

SIDE = 32


def draw_batch(seeds: list[int], indices: list[int], labels: list[int]) -> np.ndarray:
    """Draw images as rows of (N, 3072) uint8: all red values, then green, then blue."""
    images = [draw_class(RandomState([*seeds, i]), label, SIDE, SIDE) for i, label in zip(indices, labels)]
    return np.stack(images).transpose(0, 3, 1, 2).reshape(len(indices), -1)


def write_pickle(path: Path, record: dict[str, Any]) -> None:
    """Write strings, integers, lists and uint8 arrays in pickle protocol 2, with strings of Python 2."""
    path.write_bytes(pickle.PROTO + b"\x02" + _pickled(record) + pickle.STOP)


def _pickled(value: Any) -> bytes:
    if isinstance(value, dict):
        entries = b"".join(_pickled(key) + _pickled(entry) for key, entry in value.items())
        return pickle.EMPTY_DICT + pickle.MARK + entries + pickle.SETITEMS
    if isinstance(value, list):
        return pickle.EMPTY_LIST + pickle.MARK + b"".join(map(_pickled, value)) + pickle.APPENDS
    if isinstance(value, tuple):
        return pickle.MARK + b"".join(map(_pickled, value)) + pickle.TUPLE
    if isinstance(value, np.ndarray):
        return _pickled_array(value)
    if value is None:
        return pickle.NONE
    if isinstance(value, int):
        return pickle.BININT + struct.pack("<i", value)
    data = value.encode("latin1") if isinstance(value, str) else value
    return pickle.BINSTRING + struct.pack("<i", len(data)) + data


def _pickled_array(array: np.ndarray) -> bytes:
    if array.dtype != np.uint8:
        raise TypeError(f"expected a uint8 array, found {array.dtype}")
    empty = _pickled(((0,), "b"))[1:-1]  # without the marks of the tuple
    kind = b"cnumpy\ndtype\n" + _pickled(("u1", 0, 1)) + pickle.REDUCE
    kind += _pickled((3, "|", None, None, None, -1, -1, 0)) + pickle.BUILD
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + empty + pickle.TUPLE + pickle.REDUCE
    state = _pickled((1, array.shape))[1:-1] + kind + _pickled(0) + _pickled(array.tobytes())
    return start + pickle.MARK + state + pickle.TUPLE + pickle.BUILD
