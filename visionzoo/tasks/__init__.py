"""Tasks, one file each. A task defines its result, and how results are drawn, written and checked by cards.

:func:`task_of` imports only the file of one task. :func:`visionzoo.registry.task_names` lists the names without
importing any.
"""

from visionzoo.tasks._base import Result, ResultDocument, ResultFile, ResultLines, Task
from visionzoo.tasks._finding import task_of
from visionzoo.tasks._joint import JointResult, JointTask
from visionzoo.tasks._overview import Overview
from visionzoo.tasks._sheets import SampleToDraw, drawn_sample
from visionzoo.tasks._tally import Tally
from visionzoo.tasks._thresholds import options_of

__all__ = [
    "JointResult",
    "JointTask",
    "Overview",
    "Result",
    "ResultDocument",
    "ResultFile",
    "ResultLines",
    "SampleToDraw",
    "Tally",
    "Task",
    "drawn_sample",
    "options_of",
    "task_of",
]
