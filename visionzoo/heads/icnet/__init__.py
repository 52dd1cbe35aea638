"""ICNet (Zhang 2018): registration with fields of both directions that are inverse to each other."""

from visionzoo.heads.icnet.convert import convert_model
from visionzoo.heads.icnet.head import ICNetHead

__all__ = ["ICNetHead", "convert_model"]
