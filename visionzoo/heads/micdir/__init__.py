"""MICDIR (Chatterjee et al. 2022): registration on two scales with a self-constructing graph."""

from visionzoo.heads.micdir.convert import convert_model
from visionzoo.heads.micdir.head import MICDIRHead

__all__ = ["MICDIRHead", "convert_model"]
