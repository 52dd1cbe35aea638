"""Heads: feature maps to losses and predictions, one file or folder per paper or task."""

from visionzoo.heads.classification import ClassificationHead

__all__ = ["ClassificationHead"]
