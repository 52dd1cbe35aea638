"""CIFAR-10 and CIFAR-100 in the published format: Python pickles, read without executing code that they may contain.

https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from visionzoo.datasets.class_map import ClassMap, is_class_name, require_once
from visionzoo.datasets.classification import ClassificationData
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.plain_pickles import restricted_pickle_load
from visionzoo.datasets.sample_list import LoadingOptions
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import ConfigError, DataError, first_of
from visionzoo.registry import DATASETS

SIDE = 32
_PIXELS = 3 * SIDE * SIDE
_AGAIN = "download it again"


class CifarData(ClassificationData):
    """Base of both CIFAR data sets: a sample has ``img``, (32, 32, 3) uint8 RGB, and ``gt_label``.

    Args:
        data_root: the folder that contains ``folder``, or a ``tiny://`` address.
        split: ``train`` (50,000 images) or ``test`` (10,000).
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        ConfigError: unknown ``split``.
        DataError: a file is missing or damaged, or contains objects other than numbers and text.

    Example:
        >>> dataset = CIFAR10("tiny://cifar10?train=5&val=2", split="test", serialize_data=False)
        >>> len(dataset), dataset[0]["img"].shape, dataset[0]["gt_label"]
        (2, (32, 32, 3), 0)
    """

    folder: str
    splits: dict[str, tuple[str, ...]]
    meta_file: str
    labels_key: bytes
    names_key: bytes
    twin: str

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        **loading: Unpack[LoadingOptions],
    ):
        if split not in self.splits:
            raise ConfigError(
                "split", expected=f"{' or '.join(self.splits)}", found=f"{split!r}", advice="use one of them"
            )
        root = resolve_data_root(data_root)
        folder = root / self.folder
        self._require_files(folder, split)
        names = self._read_names(folder / self.meta_file)
        batches = [self._read_batch(folder / name, len(names)) for name in self.splits[split]]
        if not any(labels for _, labels in batches):
            raise DataError(folder, expected="images", found="none", advice=_AGAIN)
        self._images = np.concatenate([images for images, _ in batches])
        labels = [label for _, some in batches for label in some]
        super().__init__(
            root,
            ClassMap.of(names),
            [{"row": row, "gt_label": label} for row, label in enumerate(labels)],
            **loading,
        )

    def prepare_data(self, idx: int) -> Any:
        """Return the sample ``idx`` with its image, after the pipeline."""
        sample = self.get_data_info(idx)
        sample["img"] = self._images[sample.pop("row")].reshape(3, SIDE, SIDE).transpose(1, 2, 0).copy()
        sample["img_shape"] = sample["ori_shape"] = (SIDE, SIDE)
        return self.pipeline(sample)

    @property
    def images(self) -> np.ndarray:
        """All images, (N, 32, 32, 3) uint8 RGB."""
        return self._images.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)

    def _require_files(self, folder: Path, split: str) -> None:
        wanted = (self.meta_file, *self.splits[split])
        missing = [name for name in wanted if not (folder / name).is_file()]
        if missing:
            raise DataError(
                folder,
                expected=f"the files {', '.join(wanted)}",
                found=f"{', '.join(missing)} missing",
                advice=(
                    f"see datasets/cifar/README.md, point data_root to the folder above, or try --tiny ({self.twin})"
                ),
            )

    def _read_names(self, path: Path) -> list[str]:
        names = _entry(path, read_pickle(path), self.names_key)
        if not isinstance(names, list) or not names:
            raise DataError(path, expected="a list of class names", found=f"{type(names).__name__}", advice=_AGAIN)
        texts = [_text(name) for name in names]
        with Findings(path, expected="class names", advice=_AGAIN) as findings:
            for number, text in enumerate(texts):
                if not is_class_name(text):
                    found = type(names[number]).__name__ if text is None else shown(text)
                    findings.wrong(f"class {number}", "name", expected="visible text", found=found)
        require_once(path, texts)  # type: ignore[arg-type]
        return texts  # type: ignore[return-value]

    def _read_batch(self, path: Path, classes: int) -> tuple[np.ndarray, list[int]]:
        record = read_pickle(path)
        images, labels = _entry(path, record, b"data"), _as_list(_entry(path, record, self.labels_key))
        shape = getattr(images, "shape", None)
        if labels is None or type(images) is not np.ndarray or images.dtype != np.uint8:
            found = type(images).__name__ if labels is not None else "labels of another kind"
            raise DataError(path, expected="an array of uint8 and a list of labels", found=found, advice=_AGAIN)
        if shape != (len(labels), _PIXELS):
            raise DataError(
                path,
                expected=f"{len(labels)} images of {_PIXELS} uint8 numbers",
                found=f"shape {shape}",
                advice=_AGAIN,
            )
        with Findings(path, expected="CIFAR images", advice=_AGAIN) as findings:
            for number, label in enumerate(labels):
                if type(label) is not int or not 0 <= label < classes:
                    found = shown(label) if isinstance(label, int | float) else type(label).__name__
                    findings.wrong(f"image {number}", "label", expected=f"labels 0 to {classes - 1}", found=found)
        return images, labels


@DATASETS.register_module()
class CIFAR10(CifarData):
    """Ten classes; on disk ``<data_root>/cifar-10-batches-py/{data_batch_1..5,test_batch,batches.meta}``."""

    __doc__ = f"{__doc__}\n\n{CifarData.__doc__}"
    folder = "cifar-10-batches-py"
    splits = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
    meta_file, labels_key, names_key = "batches.meta", b"labels", b"label_names"
    twin = "tiny://cifar10"


@DATASETS.register_module()
class CIFAR100(CifarData):
    """A hundred classes, with fine labels; on disk ``<data_root>/cifar-100-python/{train,test,meta}``."""

    __doc__ = f"{__doc__}\n\n{CifarData.__doc__}"
    folder = "cifar-100-python"
    splits = {"train": ("train",), "test": ("test",)}
    meta_file, labels_key, names_key = "meta", b"fine_labels", b"fine_label_names"
    twin = "tiny://cifar100"


def _text(name: Any) -> str | None:
    """Return a class name; None for another object."""
    if isinstance(name, bytes):
        name = name.decode("utf-8", errors="surrogateescape")
    return name if isinstance(name, str) else None


def _as_list(labels: Any) -> list[Any] | None:
    """Return a list of labels, or None for another object. An array of whole numbers becomes a list."""
    if type(labels) is np.ndarray and labels.ndim == 1 and labels.dtype.kind in "iu":
        labels = labels.tolist()
    return labels if isinstance(labels, list) else None


def _entry(path: Path, record: Any, key: bytes) -> Any:
    value = record.get(key, record.get(key.decode())) if isinstance(record, dict) else None
    if value is None:
        keys = first_of(map(_key_text, record), 6) if isinstance(record, dict) else type(record).__name__
        raise DataError(path, expected=f"an entry {key.decode()!r}", found=keys or "nothing", advice=_AGAIN)
    return value


def _key_text(key: Any) -> str:
    return shown(key) if isinstance(key, str | bytes | int) else type(key).__name__


# --- pickles ---

# All names in CIFAR's pickles and in pickles of later versions of NumPy: arrays of numbers.
_ARRAYS: dict[tuple[str, str], Callable[[], Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): lambda: np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    ("numpy._core.multiarray", "_reconstruct"): lambda: np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    ("numpy", "ndarray"): lambda: np.ndarray,
    ("numpy", "dtype"): lambda: np.dtype,
}


def read_pickle(path: Path) -> Any:
    """Read a pickle of numbers and text; strings of Python 2 become bytes.

    Raises:
        DataError: the file is damaged or names objects other than arrays, which could run code.
    """
    return restricted_pickle_load(
        path,
        expected="arrays of numbers and text",
        of="CIFAR",
        advice="download CIFAR again",
        encodings=("bytes",),
        names=_ARRAYS,
    )
