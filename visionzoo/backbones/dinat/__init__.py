"""NAT, DiNAT and DiNAT_s (Hassani et al. 2022): transformers in which tokens attend to their neighbours."""

from visionzoo.backbones.dinat.backbone import DiNAT
from visionzoo.backbones.dinat.convert import convert, convert_classifier, named_variant, resize_bias
from visionzoo.backbones.dinat.convert_models import convert_model

__all__ = ["DiNAT", "convert", "convert_classifier", "convert_model", "named_variant", "resize_bias"]
