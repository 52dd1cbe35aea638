"""Look-up of tasks by name."""

from __future__ import annotations

import inspect
from functools import lru_cache
from importlib import import_module

from visionzoo.errors import ZooError, require_known
from visionzoo.tasks._base import Task


@lru_cache(maxsize=64)
def task_of(name: str) -> Task:
    """Return the task called ``name``.

    Args:
        name: name of a file in ``visionzoo/tasks`` or of a plugin's task.

    Raises:
        UnknownName: no file of ``visionzoo/tasks`` and no plugin has this name.
        ZooError: the file does not define exactly one task.

    Example:
        >>> task_of("lanes").lines.name
        'tusimple.json'
    """
    from visionzoo.registry import task_modules  # imports mmengine, which `infer --help` does not need

    modules = task_modules()
    require_known(name, modules, "task")
    module = import_module(modules[name])
    own = [cls for _, cls in inspect.getmembers(module, inspect.isclass) if cls.__module__ == module.__name__]
    tasks = [cls for cls in own if issubclass(cls, Task)]
    if len(tasks) != 1:
        raise ZooError(
            modules[name],
            expected="one class derived from visionzoo.tasks.Task",
            found=str(len(tasks)),
            advice="define one task per file",
        )
    return tasks[0]()
