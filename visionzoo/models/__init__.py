"""The join of backbone, neck and head. Importing this package registers what lives in it."""

from visionzoo.models import mixing

__all__ = ["mixing"]
