"""SCNN: lanes as classes of pixels, after rows and columns of the feature map have spoken to each other."""

from visionzoo.heads.scnn.convert import convert, convert_model, input_of
from visionzoo.heads.scnn.head import SCNNHead

__all__ = ["SCNNHead", "convert", "convert_model", "input_of"]
