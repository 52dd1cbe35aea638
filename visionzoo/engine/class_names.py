"""Class names of data sets and weights. :mod:`visionzoo.engine.numbering` compares them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from visionzoo.config.data_parts import inner_data_sets, with_inner_data_sets
from visionzoo.config.signatures import Arguments, arguments_of
from visionzoo.errors import CheckpointError, some_of
from visionzoo.registry import DATASETS
from visionzoo.structures.task_sample import TASKS
from visionzoo.weights.loading import class_names_of
from visionzoo.weights.safe_load import read_checkpoint, stated_meta

MOST = 6  # names in a message


@dataclass(frozen=True)
class Classes:
    """Classes of a data set or of weights, in label order.

    Attributes:
        source: where the classes come from, for messages.
        names: readable name of each label.
        keys: name of each label in files and folders; often equal to ``names``.

    Example:
        >>> classes = Classes("weights", names=("tench", "goldfish"), keys=("n01440764", "n01443537"))
        >>> classes.labels()["goldfish"], classes.labels()["n01440764"]
        (1, 0)
    """

    source: str
    names: tuple[str, ...]
    keys: tuple[str, ...]

    @classmethod
    def of(cls, meta: Any, source: str) -> Classes | None:
        """Return the classes in the metainfo of a data set, or None if it has none.

        Args:
            meta: a dict with ``classes`` and, if the names in files differ, ``class_keys``. ``class_keys`` has no entry
                for the background.
            source: see :class:`Classes`.

        Example:
            >>> Classes.of({"classes": ("background", "tench"), "class_keys": ("n01440764",)}, "data").keys
            ('background', 'n01440764')
        """
        names = _texts(meta.get("classes")) if isinstance(meta, Mapping) else ()
        if not names:
            return None
        keys = _texts(meta.get("class_keys")) or names
        return cls(source, names, names[: len(names) - len(keys)] + keys if len(keys) <= len(names) else names)

    @property
    def are_numbers(self) -> bool:
        """True if each name is only the number of its label, as in a list without class names."""
        return self.names == tuple(map(str, range(len(self.names))))

    def labels(self) -> dict[str, int]:
        """Return the label of each key and of each name that occurs once."""
        times = Counter(self.names)
        by_name = {name: label for label, name in enumerate(self.names) if times[name] == 1}
        return by_name | {key: label for label, key in enumerate(self.keys)}

    def labels_in(self, other: Classes) -> list[int | None]:
        """Return the label that each of these classes has in ``other``; None for a class that ``other`` lacks.

        Example:
            >>> classes = Classes("val", ("bee", "dog"), ("bee", "dog"))
            >>> classes.labels_in(Classes("train", ("ant", "bee"), ("ant", "bee")))
            [1, None]
        """
        if self.names == other.names or self.keys == other.keys or self.is_by_number(other):
            return [label if label < len(other.names) else None for label in range(len(self.names))]
        labels = other.labels()
        return [labels.get(key, labels.get(name)) for key, name in zip(self.keys, self.names, strict=True)]

    def is_by_number(self, other: Classes) -> bool:
        """Return True if labels can be compared only by number, because only one of the two has names."""
        if self.are_numbers:
            return not other.are_numbers
        return other.are_numbers and len(self.names) == len(other.names)

    def __str__(self) -> str:
        return some_of(self.names, MOST)


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(map(str, values)) if isinstance(values, Sequence) and not isinstance(values, str) else ()


def saved_classes(path: Path | None) -> Classes | dict[str, Classes] | None:
    """Return the classes that a checkpoint states; None if it states none, or without a checkpoint.

    The result for a model of several tasks is a dict by task, without the tasks that have no classes. No tensor is read
    if the format allows it.

    Raises:
        CheckpointError: the file cannot be read.

    Example:
        >>> import tempfile, torch
        >>> meta = {"dataset_meta": {"classes": ["cat", "dog"]}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.pth")
        ...     torch.save({"state_dict": {"weight": torch.zeros(2)}, "meta": meta}, path)
        ...     print(saved_classes(path))
        cat, dog
    """
    if path is None:
        return None
    meta = stated_meta(path) or _read_meta(path)
    facts = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    by_task = facts.get(TASKS) if isinstance(facts, Mapping) else None
    if isinstance(by_task, Mapping):
        found = {task: Classes.of(own, f"the weights {path}, {task}") for task, own in by_task.items()}
        return {task: classes for task, classes in found.items() if classes is not None}
    keys = facts.get("class_keys") if isinstance(facts, Mapping) else None
    return Classes.of({"classes": class_names_of({"meta": meta}), "class_keys": keys}, f"the weights {path}")


def _read_meta(path: Path) -> Any:
    try:
        return read_checkpoint(path, map_location="meta").get("meta")
    except CheckpointError:  # tensors of some formats cannot be skipped
        return read_checkpoint(path).get("meta")


# --- leaves: the data sets inside wrappers that concatenate, repeat or balance them ---


@dataclass(frozen=True)
class Leaf:
    """A data set that reads files, with its place in the config.

    Attributes:
        where: path of its config, for messages.
        cfg: its config.
        classes: its classes, or None if it has none.
        task: the task for which a joint data set uses it; None elsewhere.
    """

    where: str
    cfg: Mapping[str, Any]
    classes: Classes | None
    task: str | None = None

    @property
    def arguments(self) -> Arguments:
        """The arguments of the class of the data set."""
        kind = self.cfg.get("type")
        return arguments_of(DATASETS.get(kind) if isinstance(kind, str) else kind)  # type: ignore[arg-type]

    @property
    def can_be_renumbered(self) -> bool:
        """True if the argument ``classes`` sets the order of the labels."""
        return "classes" in self.arguments.names and self.cfg.get("class_map") is None

    @property
    def selects(self) -> bool:
        """True if ``classes`` may name some of the classes of the file. The others are then left out."""
        return "absent_classes" in self.arguments.names

    @property
    def names_its_classes(self) -> bool:
        """True if the config names the classes."""
        return names_classes(self.cfg)


def leaves(cfg: Any, dataset: Any, where: str) -> Iterator[Leaf]:
    """Return the leaves of a data set.

    Args:
        cfg: its config.
        dataset: the data set that was built from it.
        where: path of ``cfg``, for messages.

    Example:
        >>> from mmengine.dataset import BaseDataset, RepeatDataset
        >>> cats = BaseDataset(metainfo=dict(classes=["cat"]), lazy_init=True)
        >>> dataset = RepeatDataset(cats, times=2, lazy_init=True)
        >>> [leaf.where for leaf in leaves(dict(dataset=dict(type="BaseDataset")), dataset, "val")]
        ['val.dataset']
    """
    built = _inner_built(cfg, dataset)
    if built is None:
        meta = getattr(dataset, "metainfo", None) or getattr(getattr(dataset, "dataset", None), "metainfo", None)
        yield Leaf(where, cfg, Classes.of(meta, f"{where}{_place(meta, cfg)}"))
        return
    for path, inner in inner_data_sets(cfg):
        task = path.removeprefix("datasets.") if isinstance(cfg.get("datasets"), Mapping) else None
        for leaf in leaves(inner, built[path], f"{where}.{path}"):
            yield leaf if task is None else replace(leaf, task=task)


def _inner_built(cfg: Mapping[str, Any], dataset: Any) -> dict[str, Any] | None:
    """Return the data sets inside a wrapper by path, or None for a data set that is not a wrapper."""
    several, given = getattr(dataset, "datasets", ()), cfg.get("datasets")
    if isinstance(given, (list, tuple, Mapping)) and len(several) == len(given):
        named = several.items() if isinstance(several, Mapping) else enumerate(several)
        return {f"datasets.{key}": each for key, each in named}
    if isinstance(cfg.get("dataset"), Mapping) and hasattr(dataset, "dataset"):
        return {"dataset": dataset.dataset}
    return None


def _place(meta: Any, cfg: Mapping[str, Any]) -> str:
    facts = meta if isinstance(meta, Mapping) else {}
    place = (
        facts.get("annotations")
        or facts.get("ann_file")
        or "/".join(str(cfg[key]) for key in ("data_root", "split", "ann_file") if cfg.get(key))
    )
    return f" ({place})" if place else ""


def with_leaves(cfg: Any, changed: Mapping[str, Mapping[str, Any]], where: str) -> Any:
    """Return a copy of a config with other leaves.

    Args:
        cfg: config of a data set.
        changed: the new leaves by path.
        where: path of ``cfg``.

    Example:
        >>> cfg = dict(type="RepeatDataset", times=2, dataset=dict(type="ImageFolder"))
        >>> with_leaves(cfg, {"val.dataset": dict(type="ImageList")}, "val")["dataset"]
        {'type': 'ImageList'}
    """
    if where in changed:
        return changed[where]
    if not isinstance(cfg, Mapping):
        return cfg
    inner = {path: with_leaves(part, changed, f"{where}.{path}") for path, part in inner_data_sets(cfg)}
    return with_inner_data_sets(cfg, inner)


def names_classes(cfg: Any) -> bool:
    """Return True if the config of a data set, or of one in a wrapper, names the classes.

    Example:
        >>> names_classes(dict(type="RepeatDataset", dataset=dict(type="CocoDetection", classes=["cat"])))
        True
    """
    if not isinstance(cfg, Mapping):
        return False
    inner = [part for _, part in inner_data_sets(cfg)]
    return bool(cfg.get("classes") or (cfg.get("metainfo") or {}).get("classes")) or any(map(names_classes, inner))
