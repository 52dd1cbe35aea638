"""The join of backbone, neck and head. Importing this package registers what lives in it."""

from visionzoo.models import mixing
from visionzoo.models.preprocessing import TaskPreprocessor
from visionzoo.models.task_model import TaskModel

__all__ = ["TaskModel", "TaskPreprocessor", "mixing"]
