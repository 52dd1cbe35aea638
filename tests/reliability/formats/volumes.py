"""Volumes to register with their label maps: NIfTI, MGH, NumPy files, and lists of pairs."""

from __future__ import annotations

import csv
import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import nibabel
import numpy as np

from reliability.campaign import UNKNOWN, Format
from reliability.loading import loaded
from reliability.mutations import ODD_WORDS, some_bytes, some_file, some_line
from visionzoo.datasets.registration import read_pair_list
from visionzoo.datasets.volume_files import read_labels, read_volume

SHAPE = (6, 5, 4)
AFFINE = np.diag([-1.0, 1.5, 2.0, 1.0])
COLUMNS = ("fixed", "moving", "fixed_labels", "labels")
_WORDS = (0, 1, -1, 2**15 - 1, 2**31 - 1, -(2**31), 7, 512, 16, 255)
_FLOATS = (0.0, -1.0, float("nan"), float("inf"), 1e30, 1e-30, 2.0)
_READ_NIFTI: dict[int, str] = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}


def some_field_of_header(path: Path, random: Random) -> str:
    """Put an odd number into the header of a NIfTI or MGH file; the file is packed again."""
    packed = path.read_bytes()
    is_packed = packed.startswith(b"\x1f\x8b")
    content = bytearray(gzip.decompress(packed) if is_packed else packed)
    order = ">" if ".mg" in path.name else "<"
    at = 2 * random.randrange(45 if order == ">" else 174)
    code, value = random.choice(
        [(code, value) for code in "hi" for value in _WORDS] + [("f", each) for each in _FLOATS]
    )
    value = min(value, 2**15 - 1) if code == "h" else value
    number = struct.pack(f"{order}{code}", max(value, -(2**15)) if code == "h" else value)
    content[at : at + len(number)] = number
    path.write_bytes(gzip.compress(bytes(content), mtime=0) if is_packed else bytes(content))
    return f"{path.name}: {value!r} at byte {at} of the header"


def other_values(path: Path, random: Random) -> str:
    """Save other values under the same name."""
    values = whole(random)
    kinds: dict[str, Callable[[], np.ndarray]] = {
        "NaN": lambda: np.where(values > values.mean(), np.nan, values),
        "all NaN": lambda: values * np.nan,
        "infinity": lambda: values / 0.0,
        "constant": lambda: values * 0 + 2,
        "series": lambda: np.stack([values] * 3, -1),
        "one slice": lambda: values[..., 0],
        "one more axis": lambda: values[..., None],
        "other shape": lambda: values[:-1],
        "nothing": lambda: values[:0],
        "labels": lambda: (values > values.mean()).astype(np.int32),
        "negative": lambda: -np.rint(values).astype(np.int64),
        "bool": lambda: values > values.mean(),
        "half": lambda: values.astype(np.float16),
        "complex": lambda: values.astype(np.complex64),
        "text": lambda: values.astype(str),
        "objects": lambda: values.astype(object),
    }
    kind = random.choice([*kinds, "other name", "no array"] if path.suffix == ".npz" else list(kinds))
    with np.errstate(all="ignore"):
        new = kinds.get(kind, lambda: values)()
    if path.suffix == ".npz":
        key = {"other name": "image"}.get(kind, random.choice(("vol", "seg", "affine")))
        own = {"vol": values, "seg": (values > values.mean()).astype(np.uint8)}
        np.savez(path, **({} if kind == "no array" else {**own, key: new}), allow_pickle=True)
    else:
        np.save(path, new, allow_pickle=True)
    return f"{path.name}: {kind}"


def whole(random: Random) -> np.ndarray:
    """Return an image with a bright half and noise."""
    noise = np.random.RandomState(random.randrange(2**31)).rand(*SHAPE)
    noise[3:] += 3
    return (100 * noise).astype(np.float32)


def summary(values: np.ndarray) -> Any:
    """Return an image as plain values that can be compared."""
    return values.shape, [f"{value:.5g}" for value in np.asarray(values, np.float64).ravel()]


class _Volumes(Format):
    """Two images with label maps in one kind of files, which a list names."""

    ending: ClassVar[str]
    second: ClassVar[str]

    def write(self, folder: Path, random: Random) -> None:
        names = {column: f"{column}{self.second if column == 'moving' else self.ending}" for column in COLUMNS}
        for column, name in names.items():
            values = whole(random)
            values = (values > 150).astype(np.float32) * 3 if "labels" in column else values
            (folder / name).write_bytes(self.content(values, name))
        with (folder / "pairs.csv").open("w", newline="") as file:
            csv.writer(file).writerows([names, names.values()])

    def content(self, values: np.ndarray, name: str) -> bytes:
        """Return the bytes of a file."""
        raise NotImplementedError

    def read(self, folder: Path, workers: int = 0) -> Any:
        steps = [dict(type="LoadVolumePair"), dict(type="NormalizeVolumes"), dict(type="PackTaskInputs")]
        options = dict(pairs="pairs.csv", pipeline=steps, test_mode=True, serialize_data=False)
        loaded(dict(type="RegistrationPairs", data_root=str(folder), **options), workers)
        (files,) = read_pair_list(folder / "pairs.csv", folder)
        readers = {column: read_labels if "labels" in column else read_volume for column in files}
        return {column: summary(readers[column](path, lambda text: None).data) for column, path in files.items()}

    def truth(self, folder: Path) -> Any:
        with (folder / "pairs.csv").open(newline="") as file:
            (files,) = csv.DictReader(file)
        try:
            contents = {column: self.plain(folder / name, "labels" in column) for column, name in files.items()}
        except Exception:  # a plain reader that fails cannot decide
            return UNKNOWN
        if any(each is None for each in contents.values()):
            return UNKNOWN
        return {name: summary(each) for name, each in contents.items()}

    def plain(self, path: Path, is_labels: bool) -> np.ndarray | None:
        """Return the values of a file without the readers of the package; None where they have no plain meaning."""
        raise NotImplementedError


class NIfTI(_Volumes):
    """NIfTI-1, packed and not."""

    name = "volumes, NIfTI"
    ending, second = ".nii.gz", ".nii"
    damages = (("*.nii*", some_bytes), ("*.nii*", some_field_of_header), ("*.nii*", some_file))

    def content(self, values: np.ndarray, name: str) -> bytes:
        data = nibabel.Nifti1Image(values.astype(np.int16) if "labels" in name else values, AFFINE).to_bytes()
        return gzip.compress(data, mtime=0) if name.endswith(".gz") else data

    def plain(self, path: Path, is_labels: bool) -> np.ndarray | None:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        (size,), dims, (kind,) = (
            struct.unpack_from(f"<{form}", content, at) for form, at in (("i", 0), ("8h", 40), ("h", 70))
        )
        offset, slope, shift = struct.unpack_from("<3f", content, 108)
        if size != 348 or dims[0] != 3 or kind not in _READ_NIFTI or not 348 <= offset < 1000 or offset % 16:
            return None
        if not (np.isnan(slope) or slope == 0 or (slope, shift) == (1, 0)):
            return None
        values = np.frombuffer(content, f"<{_READ_NIFTI[kind]}", int(np.prod(dims[1:4])), int(offset))
        return np.nan_to_num(values.reshape(dims[1:4], order="F"), nan=0.0)


class MGH(_Volumes):
    """FreeSurfer's format, packed."""

    name = "volumes, .mgz"
    ending = second = ".mgz"
    damages = (("*.mgz", some_bytes), ("*.mgz", some_field_of_header), ("*.mgz", some_file))

    def content(self, values: np.ndarray, name: str) -> bytes:
        data = values.astype(np.int32) if "labels" in name else values
        return gzip.compress(nibabel.MGHImage(data, AFFINE).to_bytes(), mtime=0)

    def plain(self, path: Path, is_labels: bool) -> np.ndarray | None:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        version, *dims, kind = struct.unpack_from(">6i", content)
        if version != 1 or dims[3] != 1 or kind not in (0, 1, 3, 4):
            return None
        code = {0: "u1", 1: ">i4", 3: ">f4", 4: ">i2"}[kind]
        values = np.frombuffer(content, code, int(np.prod(dims)), 284).reshape(dims[:3], order="F")
        return np.nan_to_num(values, nan=0.0)


class Npz(_Volumes):
    """VoxelMorph's files with ``vol`` and ``seg``."""

    name = "volumes, .npz"
    ending = second = ".npz"
    damages = (("*.npz", some_bytes), ("*.npz", other_values), ("*.npz", some_file))

    def content(self, values: np.ndarray, name: str) -> bytes:
        file = io.BytesIO()
        np.savez_compressed(file, **{"seg" if "labels" in name else "vol": values})
        return file.getvalue()

    def plain(self, path: Path, is_labels: bool) -> np.ndarray | None:
        with np.load(path) as arrays:
            if set(arrays) - {"vol", "seg", "affine"} or ("vol" not in arrays and not is_labels):
                return None
            values = arrays["seg" if is_labels else "vol"]
        return np.nan_to_num(values, nan=0.0).reshape(_without_ones(values.shape))


class Npy(_Volumes):
    """One array."""

    name = "volumes, .npy"
    ending = second = ".npy"
    damages = (("*.npy", some_bytes), ("*.npy", other_values), ("*.npy", some_file))

    def content(self, values: np.ndarray, name: str) -> bytes:
        file = io.BytesIO()
        np.save(file, values)
        return file.getvalue()

    def plain(self, path: Path, is_labels: bool) -> np.ndarray | None:
        values = np.load(path)
        return np.nan_to_num(values, nan=0.0).reshape(_without_ones(values.shape))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


class PairTable(Format):
    """A CSV file of pairs."""

    name = "pairs, CSV"
    damages = (("pairs.csv", some_line), ("pairs.csv", some_bytes), ("pairs.csv", some_file), ("*.npy", some_file))

    def write(self, folder: Path, random: Random) -> None:
        for name in "abcd":
            np.save(folder / f"{name}.npy", whole(random))
        pairs = [f"{first}.npy{self.between}{second}.npy" for first, second in ("ab", "bc", "cd")]
        (folder / "pairs.csv").write_text("\n".join([*self.header, *pairs]))

    between, header = ",", ("fixed,moving",)

    def read(self, folder: Path, workers: int = 0) -> Any:
        options = dict(pairs="pairs.csv", pipeline=[dict(type="LoadVolumePair")], test_mode=True, serialize_data=False)
        loaded(dict(type="RegistrationPairs", data_root=str(folder), **options), workers)
        return [(pair["fixed"], pair["moving"]) for pair in read_pair_list(folder / "pairs.csv", folder)]

    def truth(self, folder: Path) -> Any:
        try:
            first, *lines = (folder / "pairs.csv").read_text(encoding="utf-8").split("\n")
        except (OSError, ValueError):
            return UNKNOWN
        lines = lines if self.header else [first, *lines]
        words = [line.split(self.between) for line in lines if line]
        is_plain = not self.header or first == self.header[0]
        if not is_plain or not all(len(each) == 2 and all(map(_is_name, each)) for each in words):
            return UNKNOWN
        return [tuple(str(folder / name) for name in each) for each in words]


def _is_name(word: str) -> bool:
    return word not in ODD_WORDS and word.removesuffix(".npy").isalpha()


class PairList(PairTable):
    """Lines of two paths."""

    name = "pairs, list"
    between, header = " ", ()
