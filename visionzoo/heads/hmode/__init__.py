"""HMoDE (Du et al. 2023): crowd counting with a hierarchical mixture of density experts."""

from visionzoo.heads.hmode.convert import convert_model
from visionzoo.heads.hmode.head import HMoDEHead

__all__ = ["HMoDEHead", "convert_model"]
