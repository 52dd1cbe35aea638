"""VoxelMorph (Balakrishnan et al. 2019): registration with a U-Net and an integrated velocity."""

from visionzoo.heads.voxelmorph.convert import convert_model
from visionzoo.heads.voxelmorph.head import VoxelMorphHead

__all__ = ["VoxelMorphHead", "convert_model"]
