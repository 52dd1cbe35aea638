"""Displacement fields and the images that they warp, in 2-D and 3-D.

A field ``(B, n, *S)`` has n = 2 or 3 spatial axes and one component per axis, in voxels of the same grid. Component i
displaces along axis i. Its deformation is the identity plus the field: ``warped(x) = image(x + field(x))``. Sources:
spatial transformer, Jaderberg et al., arXiv 1506.02025; scaling and squaring, Arsigny et al., MICCAI 2006; VoxelMorph,
arXiv 1809.05231.
"""

from visionzoo.ops.warp.fields import compose, integrate, resize_field, resize_field_to
from visionzoo.ops.warp.inverse import damped_fixed_point, invert
from visionzoo.ops.warp.jacobian import jacobian_determinant
from visionzoo.ops.warp.sampling import MODES, PADDINGS, is_identity, warp

__all__ = [
    "MODES",
    "PADDINGS",
    "compose",
    "damped_fixed_point",
    "integrate",
    "invert",
    "is_identity",
    "jacobian_determinant",
    "resize_field",
    "resize_field_to",
    "warp",
]
