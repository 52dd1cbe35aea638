"""One number for each class in a whole run: data sets and weights are matched by the names of their classes.

The order of the labels is that of the weights in a test and in a resumed run, else that of the training set. A data set
that numbers the same classes otherwise is read again in this order. Classes that do not match are an error.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config

from visionzoo.engine.class_names import MOST, Classes, Leaf, leaves, names_classes, with_leaves
from visionzoo.engine.loaders import build_dataset, class_names, classes_by_task
from visionzoo.errors import DataError, nearest_name, some_of


@dataclass(frozen=True)
class Numbered:
    """Data sets of a run with the same label for the same class.

    Attributes:
        datasets: data set by split.
        classes: class names in label order; None if the first data set has none, and for several tasks.
        notes: sentences for the user.
        others: classes of initial weights by task, where the data has other ones; the model cannot use what belongs to
            them. The key of a model of one task is None.
        by_task: class names of each task of joint data sets, None for a task without classes; empty for one task.
    """

    datasets: dict[str, Any]
    classes: tuple[str, ...] | None
    notes: tuple[str, ...] = ()
    others: Mapping[str | None, Classes] = field(default_factory=dict)
    by_task: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)

    def classes_of(self, task: str | None) -> tuple[str, ...] | None:
        """Return the class names of a task in label order; None if it has no classes.

        Example:
            >>> Numbered({}, None, by_task={"classification": ("cat",)}).classes_of("classification")
            ('cat',)
        """
        return self.classes if task is None else self.by_task.get(task, self.classes)


def build_numbered(
    cfg: Config,
    splits: Sequence[str],
    learned: Classes | Mapping[Any, Classes] | None = None,
    *,
    fixed: bool = False,
    advice: str = "",
) -> Numbered:
    """Build the data sets of a run.

    Args:
        cfg: config of the run.
        splits: ``test``, or ``train`` and ``val``. If the weights set no order, the first data set does.
        learned: classes of the weights, or None; by task for weights of several tasks.
        fixed: True if the data must have the classes of the weights, as in a test and in a resumed run. False for
            initial weights, whose order is used only if the data has the same classes.
        advice: what to do if the classes of the data do not match; "" for the usual advice.

    Raises:
        DataError: a data set cannot be read, or its classes do not match.
        ConfigError: the config of a data set is wrong.

    Example:
        >>> part = dict(type="ImageFolder", data_root="tiny://imagenet?train=10&val=2&size=24", serialize_data=False)
        >>> cfg = Config(dict(model={}, train_dataloader=dict(dataset=part)))
        >>> build_numbered(cfg, ["train"]).classes[:2]
        ('n01440764', 'n01443537')
    """
    by_head = bool(cfg.model.get("heads"))
    datasets = {split: build_dataset(_config_of(cfg, split), where=_path_of(split)) for split in splits[:1]}
    own: dict[str | None, Classes] = {}
    for leaf in _leaves(cfg, splits[0], datasets[splits[0]]):
        if leaf.classes is not None:
            own.setdefault(leaf.task, leaf.classes)
    given: Mapping[Any, Classes] = (
        learned if isinstance(learned, Mapping) else {} if learned is None or by_head else {None: learned}
    )
    first, others = (dict(given), {}) if fixed else _followed(given, own)
    may_leave_out = names_classes((cfg.get("train_dataloader") or {}).get("dataset"))
    numbering = Numbering(first, by_head=by_head, may_leave_out=may_leave_out, advice=advice)
    for split in splits:
        if split not in datasets:
            datasets[split] = build_dataset(_config_of(cfg, split), where=_path_of(split))
        datasets[split] = numbering.applied(_config_of(cfg, split), datasets[split], _path_of(split))
    names = class_names(datasets[splits[0]])
    if names is not None and fixed and None in first:
        names = first[None].names
    return Numbered(datasets, names, tuple(numbering.notes), others, classes_by_task(datasets[splits[0]]))


def _followed(
    learned: Mapping[Any, Classes], own: Mapping[str | None, Classes]
) -> tuple[dict[str | None, Classes], dict[str | None, Classes]]:
    """Return by task the classes of initial weights whose order is used, and those that the data does not have.

    Args:
        learned: classes of the weights by task; the key of a model of one task is None.
        own: classes of the training set by task.
    """
    known = {task: classes for task, classes in learned.items() if task in own}
    others = {task: classes for task, classes in known.items() if not _are_same(classes, own[task])}
    same = {task: classes for task, classes in known.items() if task not in others}
    return {task: classes for task, classes in same.items() if not _is_same_order(classes, own[task])}, others


def _path_of(split: str) -> str:
    return f"{split}_dataloader.dataset"


def _config_of(cfg: Config, split: str) -> Any:
    return cfg[f"{split}_dataloader"].dataset


def _leaves(cfg: Config, split: str, dataset: Any) -> Iterator[Leaf]:
    return leaves(_config_of(cfg, split), dataset, _path_of(split))


def _are_same(learned: Classes, own: Classes) -> bool:
    """Return True if the training set has the classes of the weights, in any order."""
    labels = own.labels_in(learned)
    return None not in labels and len(labels) == len(learned.names)


def _is_same_order(learned: Classes, own: Classes) -> bool:
    labels = own.labels_in(learned)
    return labels == list(range(len(labels)))


class Numbering:
    """Numbers the classes of all data sets of a run alike.

    Args:
        first: classes that set the order; None if the first data set sets it. For several tasks, a dict by task.
        by_head: True if each of several heads has its own data set. Only data sets of one task, or without a task
            those with the same names, are then numbered alike.
        may_leave_out: True if further classes of a data set are left out, because the config of training names the
            classes to use.
        advice: what to do about other classes; "" for the usual advice.

    Attributes:
        notes: sentences for the user.

    Example:
        >>> cfg = dict(type="ImageFolder", data_root="tiny://imagenet?train=10&val=2&size=24", serialize_data=False)
        >>> dataset = build_dataset(cfg, where="val")
        >>> names = ("dog", *dataset.metainfo["classes"])
        >>> Numbering(Classes("the weights", names, keys=names)).applied(cfg, dataset, "val")[0]["gt_label"]
        1
    """

    def __init__(
        self,
        first: Classes | Mapping[str | None, Classes] | None = None,
        *,
        by_head: bool = False,
        may_leave_out: bool = False,
        advice: str = "",
    ):
        given = first if isinstance(first, Mapping) else {} if first is None else {None: first}
        self._references: dict[str | None, list[Classes]] = {task: [classes] for task, classes in given.items()}
        self._by_head, self._may_leave_out, self._advice = by_head, may_leave_out, advice
        self.notes: list[str] = []

    def applied(self, cfg: Any, dataset: Any, where: str) -> Any:
        """Return a data set with the labels of the run: ``dataset``, or the same data read again.

        Args:
            cfg: config of the data set.
            dataset: the data set that was built from it.
            where: path of ``cfg``, for messages.

        Raises:
            DataError: the data set has other classes, or numbers them otherwise and has no argument ``classes``.
        """
        changed: dict[str, Mapping[str, Any]] = {}
        for leaf in leaves(cfg, dataset, where):
            if leaf.classes is None:
                continue
            reference = self._reference_of(leaf, leaf.classes)
            if reference is None:
                self._references.setdefault(leaf.task, []).append(leaf.classes)
            else:
                changed |= self._renumbered(leaf, leaf.classes, reference)
        if not changed:
            return dataset
        with _without_warnings():  # the first reading printed them
            return build_dataset(with_leaves(cfg, changed, where), where=where)

    def _reference_of(self, leaf: Leaf, own: Classes) -> Classes | None:
        is_by_names = self._by_head and leaf.task is None
        known = self._references.get(leaf.task, [])
        return next((other for other in known if not is_by_names or None not in own.labels_in(other)), None)

    def _renumbered(self, leaf: Leaf, own: Classes, reference: Classes) -> dict[str, Mapping[str, Any]]:
        """Return the new config of a leaf by its path; nothing if its labels are those of ``reference``."""
        labels = own.labels_in(reference)
        extra = [name for name, label in zip(own.names, labels) if label is None]
        if extra and not self._leaves_out(leaf, extra, _without(labels, reference)):
            raise _other_classes(leaf, own, reference, self._advice)
        if own.is_by_number(reference):
            numbers = own if own.are_numbers else reference
            self.notes.append(f"{leaf.where}: classes are compared by number; {numbers.source} has no names")
        if labels == list(range(len(reference.names))):
            return {}
        if not leaf.can_be_renumbered:
            if labels == list(range(len(labels))):
                return {}
            raise _other_order(own, reference, labels)
        self.notes.append(_note(leaf, reference, labels, extra))
        return {leaf.where: _in_order(leaf, own, reference, labels)}

    def _leaves_out(self, leaf: Leaf, extra: Sequence[str], absent: Sequence[str]) -> bool:
        """Return True if the run does not use ``extra``; a name in another spelling than an absent one is an error."""
        is_respelled = {_folded(name) for name in extra} & {_folded(name) for name in absent}
        return self._may_leave_out and leaf.selects and not names_classes(leaf.cfg) and not is_respelled


def _without(labels: Sequence[int | None], reference: Classes) -> list[str]:
    """Return the names of ``reference`` that have none of the labels."""
    return [name for label, name in enumerate(reference.names) if label not in labels]


def _folded(name: str) -> str:
    return "".join(name.split()).lower()


@contextmanager
def _without_warnings() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _in_order(leaf: Leaf, own: Classes, reference: Classes, labels: Sequence[int | None]) -> dict[str, Any]:
    """Return the config of a leaf whose labels are those of ``reference``."""
    by_number = own.is_by_number(reference)
    key_of = {label: key for label, key in zip(labels, own.keys) if not by_number}
    keys = [key_of.get(label, key) for label, key in enumerate(reference.keys)]
    cfg = {**leaf.cfg, "classes": keys[1:] if leaf.cfg.get("background") else keys}
    if leaf.selects:
        cfg["absent_classes"] = [key for label, key in enumerate(keys) if label not in labels]
    return cfg


def _note(leaf: Leaf, reference: Classes, labels: Sequence[int | None], extra: Sequence[str]) -> str:
    absent = _without(labels, reference)
    parts = [
        f"{leaf.where}: classes are numbered as in {reference.source}",
        f"none of its samples has {some_of(absent, MOST)}" if absent else "",
        f"{some_of(extra, MOST)} left out, because the config of training names its classes" if extra else "",
    ]
    return "; ".join(filter(None, parts))


# --- errors ---


def _other_classes(leaf: Leaf, own: Classes, reference: Classes, advice: str) -> DataError:
    labels = own.labels_in(reference)
    known = [name for name, label in zip(own.names, labels) if label is not None]
    extra = [name for name in own.names if name not in known]
    nearest = _nearest(extra[:MOST], _without(labels, reference))
    found = (repr(name) + (f" instead of {nearest[name]!r}" if name in nearest else "") for name in extra)
    return DataError(
        own.source,
        expected=f"the classes of {reference.source} ({reference})",
        found=some_of(found, MOST),
        advice=("write one class alike in both, or " if nearest else "") + (advice or _advice(leaf, known)),
    )


def _nearest(extra: Sequence[str], free: Sequence[str]) -> dict[str, str]:
    """Return the nearest free name of each name that has one; case and white space do not count."""
    pairs = {name: nearest_name(" ".join(name.split()), free) for name in extra}
    return {name: nearest for name, nearest in pairs.items() if nearest is not None}


def _advice(leaf: Leaf, known: Sequence[str]) -> str:
    if leaf.selects and known:
        names = ",".join(map(repr, known)) if len(known) <= MOST else "..."
        return f'use only the others with --cfg-options "{leaf.where}.classes=[{names}]", or data of the same classes'
    if "classes_from" in leaf.arguments.names:
        return "remove its samples, or train with all classes and state them in classes or classes_from"
    return "choose data of the same classes"


def _other_order(own: Classes, reference: Classes, labels: Sequence[int | None]) -> DataError:
    number = next(number for number, label in enumerate(labels) if label != number)
    return DataError(
        own.source,
        expected=f"class {number} to be {reference.names[number]!r} as in {reference.source}",
        found=repr(own.names[number]),
        advice=f"list the classes in the order {reference}",
    )
