"""Data sets in a config: a data set can be inside wrappers that repeat, balance, concatenate or join data sets.

A wrapper holds one data set as ``dataset``, or several as ``datasets``: a list, or a dict by the name of the task.
"""

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


def inner_data_sets(dataset: Any) -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and the config of each data set directly inside a wrapper.

    Example:
        >>> list(inner_data_sets({"type": "ConcatDataset", "datasets": [{"type": "A"}]}))
        [('datasets.0', {'type': 'A'})]
        >>> list(inner_data_sets({"type": "JointDataset", "datasets": {"lanes": {"type": "A"}}}))
        [('datasets.lanes', {'type': 'A'})]
    """
    if not isinstance(dataset, Mapping):
        return
    if "dataset" in dataset:
        yield "dataset", dataset["dataset"]
    several = dataset.get("datasets")
    if isinstance(several, Mapping):
        yield from ((f"datasets.{name}", part) for name, part in several.items())
    elif isinstance(several, (list, tuple)):
        yield from ((f"datasets.{index}", part) for index, part in enumerate(several))


def with_inner_data_sets(dataset: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the config of a wrapper with other data sets directly inside it.

    Args:
        dataset: the config of the wrapper.
        changed: the new configs by the paths of :func:`inner_data_sets`.

    Example:
        >>> with_inner_data_sets({"datasets": {"lanes": {"type": "A"}}}, {"datasets.lanes": {"type": "B"}})
        {'datasets': {'lanes': {'type': 'B'}}}
    """
    made = dict(dataset)
    if "dataset" in changed:
        made["dataset"] = changed["dataset"]
    several = dataset.get("datasets")
    if isinstance(several, Mapping):
        made["datasets"] = {name: changed.get(f"datasets.{name}", part) for name, part in several.items()}
    elif isinstance(several, (list, tuple)):
        made["datasets"] = [changed.get(f"datasets.{index}", part) for index, part in enumerate(several)]
    return made


def data_sets(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and the config of the innermost data set of each loader; of each task, if there are more.

    Args:
        cfg: the values of a config; a loader that is missing or None has no data set.

    Example:
        >>> list(data_sets({"val_dataloader": {"dataset": {"dataset": {"type": "CocoDetection"}}}}))
        [('val_dataloader.dataset.dataset', {'type': 'CocoDetection'})]
    """
    for loader in (name for name in LOADERS if cfg.get(name)):
        path, part = _inside(f"{loader}.dataset", cfg[loader].get("dataset") or {})
        by_task = part.get("datasets")
        if isinstance(by_task, Mapping):
            yield from (_inside(f"{path}.datasets.{task}", own) for task, own in by_task.items())
        else:
            yield path, part


def joint_data_sets(dataset: Any) -> Mapping[str, Any]:
    """Return the configs of data sets by task, inside all wrappers; empty for a data set of one task.

    Example:
        >>> list(joint_data_sets({"type": "JointDataset", "datasets": {"lanes": {"type": "A"}}}))
        ['lanes']
    """
    inside = innermost(dataset) if isinstance(dataset, Mapping) else {}
    several = inside.get("datasets")
    return several if isinstance(several, Mapping) else {}


def tasks_of(cfg: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the tasks of a config; none if ``task`` is neither a name nor a list.

    Example:
        >>> tasks_of({"task": "lanes"}), tasks_of({"task": ["lanes", "counting"]}), tasks_of({})
        (('lanes',), ('lanes', 'counting'), ())
    """
    given = cfg.get("task")
    if isinstance(given, str):
        return (given,)
    return tuple(given) if isinstance(given, (list, tuple)) else ()


def config_of_task(cfg: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return a copy of the values of a config with only the data sets of one task.

    Example:
        >>> joint = {"type": "JointDataset", "datasets": {"lanes": {"type": "A"}, "counting": {"type": "B"}}}
        >>> config_of_task({"task": ("lanes", "counting"), "val_dataloader": {"dataset": joint}}, "lanes")
        {'task': 'lanes', 'val_dataloader': {'dataset': {'type': 'A'}}}
    """
    own = {**cfg, "task": task}
    for loader in (name for name in LOADERS if cfg.get(name)):
        by_task = joint_data_sets(cfg[loader].get("dataset"))
        if by_task:
            own[loader] = {**cfg[loader], "dataset": by_task.get(task)} if task in by_task else None
    return own


def _inside(path: str, part: Any) -> tuple[str, Any]:
    while isinstance(part.get("dataset"), Mapping):
        path, part = f"{path}.dataset", part["dataset"]
    return path, part
