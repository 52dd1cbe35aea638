"""Metainfo of data: of one data set, or of several data sets by task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Key in the metainfo of a joint data set, and in a checkpoint: the metainfo of the data set of each task.
TASKS = "tasks"


def meta_of_task(meta: Any, task: str) -> Mapping[str, Any]:
    """Return the metainfo of the data of one task; empty without metainfo.

    Args:
        meta: metainfo of a data set, such as ``classes``. That of several data sets has the key ``tasks`` with the
            metainfo of each data set by the name of its task.
        task: name of the task.

    Example:
        >>> meta_of_task({"tasks": {"lanes": {}, "detection": {"classes": ("cat",)}}}, "detection")
        {'classes': ('cat',)}
        >>> meta_of_task({"classes": ("cat",)}, "detection")
        {'classes': ('cat',)}
    """
    if not isinstance(meta, Mapping):
        return {}
    by_task = meta.get(TASKS)
    return (by_task.get(task) or {}) if isinstance(by_task, Mapping) else meta
