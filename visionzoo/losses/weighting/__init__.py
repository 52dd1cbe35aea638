"""Weighting of the losses of several tasks on one trunk: one file per method, found by the registry of models."""

from visionzoo.losses.weighting.base import LossWeighting, task_losses

__all__ = ["LossWeighting", "task_losses"]
