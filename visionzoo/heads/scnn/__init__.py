"""SCNN: lanes as pixel classes, after messages between rows and between columns of the feature map."""

from visionzoo.heads.scnn.convert import convert, convert_model, input_of
from visionzoo.heads.scnn.head import SCNNHead

__all__ = ["SCNNHead", "convert", "convert_model", "input_of"]
