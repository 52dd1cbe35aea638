"""LAVT (Yang et al. 2022): a Swin trunk in which a phrase enters at every stage."""

from visionzoo.backbones.lavt.backbone import LAVTSwin
from visionzoo.backbones.lavt.convert import convert, convert_model, states_of

__all__ = ["LAVTSwin", "convert", "convert_model", "states_of"]
