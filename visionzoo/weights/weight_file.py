"""A file of weights that was read, with the facts that it states about itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from visionzoo.structures.task_meta import meta_of_task
from visionzoo.system.paths import shown_path
from visionzoo.weights.loading import category_ids_of, class_names_of, find_weights, read_checkpoint


@dataclass(frozen=True)
class WeightFile:
    """A file of weights and its contents.

    Attributes:
        path: the file.
        contents: see :func:`visionzoo.weights.safe_load.read_checkpoint`.

    Example:
        >>> print(WeightFile(Path("/runs/a/best_epoch_3.pth"), {"meta": {"epoch": 3, "iter": 60}}))
        /runs/a/best_epoch_3.pth (epoch 3)
    """

    path: Path
    contents: Mapping[str, Any]

    @property
    def meta(self) -> Mapping[str, Any]:
        """Facts about the weights; empty if the file states none."""
        meta = self.contents.get("meta")
        return meta if isinstance(meta, Mapping) else {}

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names by label; None if the file states none."""
        return class_names_of(self.contents)

    @property
    def category_ids(self) -> tuple[int, ...] | None:
        """Category id of each label; None if the file states none."""
        return category_ids_of(self.contents)

    def of_task(self, task: str) -> WeightFile:
        """Return the same weights with the facts that they state about the data of one of their tasks.

        Example:
            >>> data = {"tasks": {"lanes": {}, "detection": {"classes": ["cat", "dog"]}}}
            >>> WeightFile(Path("a.pth"), {"meta": {"dataset_meta": data}}).of_task("detection").classes
            ('cat', 'dog')
        """
        meta = dict(self.meta)
        meta["dataset_meta"] = meta_of_task(meta.get("dataset_meta"), task)
        return replace(self, contents={**self.contents, "meta": meta})

    @property
    def step(self) -> str:
        """Step of the training at which the weights were saved, ``epoch 3`` or ``iteration 40``; empty if unknown."""
        word, key = ("iteration", "iter") if "iter_" in self.path.name else ("epoch", "epoch")
        number = self.meta.get(key)
        return f"{word} {number}" if isinstance(number, int) and not isinstance(number, bool) and number > 0 else ""

    def __str__(self) -> str:
        return shown_weights(self.path, self.step)


def shown_weights(path: Path, step: str) -> str:
    """Return a file of weights and the step at which it was saved, as messages print them.

    Example:
        >>> shown_weights(Path("/runs/a/best.pth"), "epoch 3"), shown_weights(Path("/b.pth"), "")
        ('/runs/a/best.pth (epoch 3)', '/b.pth')
    """
    return shown_path(path) + (f" ({step})" if step else "")


def read_weight_file(source: str | os.PathLike, *, sha256: str | None = None, trust_pickle: bool = False) -> WeightFile:
    """Read a file of weights.

    Args:
        source: a file, work dir, http address or short name, see :func:`visionzoo.weights.loading.find_weights`.
        sha256: expected sha256 of the file, or None to skip the check.
        trust_pickle: let the file run code while it loads.

    Raises:
        CheckpointError: the file does not exist or cannot be used.
    """
    path = find_weights(source, sha256)
    return WeightFile(path, read_checkpoint(path, trust_pickle=trust_pickle))
