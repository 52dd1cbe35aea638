"""Writing of shards from any data set, see :mod:`visionzoo.datasets.shards`."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.decoding import read_bytes
from visionzoo.errors import ConfigError, DataError
from visionzoo.system.atomic import write_file, write_text

INDEX = "shards.json"
ARRAY = "array"  # key of the values of an array in the JSON of a sample
_PATH = "_path"
_LEFT_OUT = ("sample_idx",)


def write_shards(dataset: Any, folder: str | os.PathLike[str], *, samples: int = 1000) -> list[Path]:
    """Write the samples of a data set, before its pipeline, as ``000000.tar``, ``000001.tar``, ... and ``shards.json``.

    Each value of a sample that is the path of a file, such as ``img_path`` and ``gt_path``, becomes a file of the
    shard; all others are in a JSON file. ``shards.json`` has the ``metainfo`` of the data set, such as its classes.

    Args:
        dataset: a data set with ``get_data_info`` and ``metainfo``.
        folder: a new or empty folder.
        samples: number of samples in a shard, >= 1. A shard of 100 MB to 1 GB is read fastest from most storage.

    Returns:
        The shards.

    Raises:
        ConfigError: the number of samples is below 1.
        DataError: a sample has no ``img_path``, a file cannot be read, or the folder is not empty.

    Example:
        >>> import tempfile
        >>> from visionzoo.datasets.classification import ImageFolder
        >>> dataset = ImageFolder("tiny://imagenet?train=10&val=2&size=24", split="val")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in write_shards(dataset, folder, samples=1)]
        ['000000.tar', '000001.tar']
    """
    if samples < 1:
        raise ConfigError("samples", expected="1 or more", found=f"{samples}", advice="use 1000")
    root, count = Path(folder), len(dataset)
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise DataError(root, expected="an empty folder", found="files in it", advice="choose another folder")
    shards = []
    for start in range(0, count, samples):
        shards.append(root / f"{start // samples:06}.tar")
        numbers = range(start, min(start + samples, count))
        files = (each for number in numbers for each in _files_of(dataset.get_data_info(number), number))
        write_file(shards[-1], partial(_add_all, files=files))
    metainfo = {name: value for name, value in dataset.metainfo.items() if _is_plain(value)}
    write_text(root / INDEX, json.dumps({"samples": count, "metainfo": metainfo}, default=_as_plain) + "\n")
    return shards


def _files_of(sample: Mapping[str, Any], number: int) -> Iterable[tuple[str, bytes]]:
    """Yield name and content of each file of a sample, the image first."""
    if not sample.get("img_path"):
        raise DataError(f"sample {number}", expected="img_path", found="none", advice="use a data set of image files")
    rest: dict[str, Any] = {}
    for key in sorted(sample, key=lambda name: name != "img_path"):
        value = sample[key]
        if key.endswith(_PATH) and value is not None:
            name = "" if key == "img_path" else f".{key.removesuffix(_PATH)}"
            yield f"{number:09}{name}{Path(value).suffix.lower()}", read_bytes(value)
        elif key not in _LEFT_OUT:
            rest[key] = value
    yield f"{number:09}.json", json.dumps(rest, default=_as_plain).encode()


def _add_all(file: Any, files: Iterable[tuple[str, bytes]]) -> None:
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value, default=_as_plain)
    except TypeError:
        return False
    return True


def _as_plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {ARRAY: value.tolist(), "dtype": str(value.dtype), "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
