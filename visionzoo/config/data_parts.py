"""Data sets in a config: a data set can be inside wrappers that repeat or balance it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def innermost(dataset: Any) -> Any:
    """Return the config of the data set inside all wrappers.

    Args:
        dataset: the config of a data set or of a wrapper, whose key ``dataset`` has the wrapped one.

    Example:
        >>> innermost({"type": "RepeatDataset", "times": 3, "dataset": {"type": "CocoDetection"}})
        {'type': 'CocoDetection'}
    """
    return _inside("", dataset)[1]


def data_sets(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and the config of the innermost data set of each loader.

    Args:
        cfg: the values of a config; a loader that is missing or None has no data set.

    Example:
        >>> list(data_sets({"val_dataloader": {"dataset": {"dataset": {"type": "CocoDetection"}}}}))
        [('val_dataloader.dataset.dataset', {'type': 'CocoDetection'})]
    """
    for loader in (name for name in LOADERS if cfg.get(name)):
        yield _inside(f"{loader}.dataset", cfg[loader].get("dataset") or {})


def _inside(path: str, part: Any) -> tuple[str, Any]:
    while isinstance(part.get("dataset"), Mapping):
        path, part = f"{path}.dataset", part["dataset"]
    return path, part
