"""Heads of mmdet and mmseg as heads of the task model: ``dict(type="mmdet.RetinaHead", ...)``."""

from visionzoo.models.library_heads.building import build_head, finds_objects, is_of_library

__all__ = ["build_head", "finds_objects", "is_of_library"]
