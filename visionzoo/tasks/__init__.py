"""Tasks, one file each: what a result is, how it is drawn, written, and checked by cards.

:func:`task_of` imports the one file that it needs; :func:`visionzoo.registry.task_names` lists the names without an
import.
"""

from visionzoo.tasks._base import Result, ResultFile, ResultLines, Task
from visionzoo.tasks._finding import task_of

__all__ = ["Result", "ResultFile", "ResultLines", "Task", "task_of"]
