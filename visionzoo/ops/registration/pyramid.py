"""One pair of images at several resolutions, with aligned corner voxels, and the checks before a registration."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from visionzoo.errors import DataError
from visionzoo.ops.registration.axis_matrices import along_axes, reduction, step_between

# A level has at least this number of voxels along an axis, unless the image has fewer.
_INSIDE, _ENOUGH = 0.99, 240  # share of a voxel in the mask; 20 voxels for each parameter of an affine map
_SMALLEST_SIDE = 8


@dataclass(frozen=True)
class Level:
    """One resolution of a pair.

    Attributes:
        fixed, moving: (*S).
        mask: (*S), the share of each voxel in the mask; None for the whole image.
        steps: the distance of two voxels along each axis, in voxels of the full resolution.
    """

    fixed: Tensor
    moving: Tensor
    mask: Tensor | None
    steps: tuple[float, ...]

    @property
    def size(self) -> tuple[int, ...]:
        """The sides in voxels."""
        return tuple(self.fixed.shape)


def level_of(fixed: Tensor, moving: Tensor, mask: Tensor | None, factor: float) -> Level:
    """Return the images (*S) reduced by a factor >= 1.

    Example:
        >>> images = torch.rand(2, 33, 17)
        >>> level = level_of(images[0], images[1], None, 2)
        >>> level.size, level.steps
        ((17, 9), (2.0, 2.0))
    """
    sides = fixed.shape
    size = [min(side, max(_SMALLEST_SIDE, -int(-side // factor))) for side in sides]
    steps = tuple(step_between(side, small) for side, small in zip(sides, size, strict=True))
    if list(sides) == size:
        return Level(fixed, moving, mask, steps)
    matrices = [reduction(side, small).to(fixed) for side, small in zip(sides, size, strict=True)]
    if mask is None:
        return Level(along_axes(fixed, matrices), along_axes(moving, matrices), None, steps)
    share = along_axes(mask, matrices)
    inside = along_axes(fixed * mask, matrices) / share.clamp(min=1e-6)
    return Level(inside, along_axes(moving, matrices), _within(share), steps)


def _within(share: Tensor) -> Tensor:
    """Return the weights of voxels by their share in the mask: only those inside, unless these are too few.

    At the edge of the mask, the moving image also shows what is outside, and the fixed image does not.
    """
    inner = torch.where(share > _INSIDE, share, 0)
    return inner if bool(inner.sum() >= _ENOUGH) else share


def image_gradients(image: Tensor) -> Tensor:
    """Return the derivative of an image along each axis by central differences, 0 at the borders of the axis.

    Args:
        image: (*S).

    Returns:
        (n, *S).

    Example:
        >>> image_gradients(torch.tensor([[0.0, 1.0, 4.0]]))[1]
        tensor([[0., 2., 0.]])
    """
    result = image.new_empty(image.ndim, *image.shape)
    for axis, side in enumerate(image.shape):
        slope = result[axis]
        slope.narrow(axis, 0, 1).zero_()
        slope.narrow(axis, side - 1, 1).zero_()
        if side > 2:
            inner = slope.narrow(axis, 1, side - 2)
            torch.sub(image.narrow(axis, 2, side - 2), image.narrow(axis, 0, side - 2), out=inner)
    return result.mul_(0.5)


def require_overlap(warped: Tensor) -> None:
    """Raise an error if a warped image is constant, because it shows only what is outside the moving image.

    Raises:
        DataError: the image is constant.

    Example:
        >>> require_overlap(torch.tensor([[0.0, 1.0]]))
    """
    if not bool(warped.std() > 1e-4):
        raise DataError(
            "moving image",
            expected="an overlap with the fixed image at the start",
            found="none",
            advice="give another start, or crop both images to the object",
        )


def checked_pair(fixed: Tensor, moving: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return both images in float32 with mean 0 and standard deviation 1, and the mask as weights 0 and 1.

    The fixed image is 0 outside the mask.

    Args:
        fixed, moving: (B, 1, *S), 2-D or 3-D, of one grid.
        mask: (B, 1, *S) or None; voxels > 0 count.

    Raises:
        DataError: different or wrong shapes, a value that is not finite, a constant image or an empty mask.

    Example:
        >>> pair = checked_pair(torch.rand(1, 1, 6, 7), torch.rand(1, 1, 6, 7), None)
        >>> round(float(pair[0].std()), 2)
        1.0
    """
    _check_shapes(fixed, moving, mask)
    mask = None if mask is None else (mask > 0).float()
    if mask is not None and bool((mask.flatten(1).sum(1) < 2).any()):
        raise DataError(
            "fixed mask", expected="voxels > 0", found="none", advice="give a mask that covers the region to align"
        )
    return _scaled(fixed, "fixed image", mask), _scaled(moving, "moving image", None), mask


def _check_shapes(fixed: Tensor, moving: Tensor, mask: Tensor | None) -> None:
    for name, image in (("fixed image", fixed), ("moving image", moving), ("fixed mask", mask)):
        if image is None:
            continue
        if image.ndim not in (4, 5) or image.shape[1] != 1:
            raise DataError(
                name,
                expected="(B, 1, H, W) or (B, 1, D, H, W)",
                found=f"{tuple(image.shape)}",
                advice="give one channel of 2-D or 3-D images",
            )
        if image.shape != fixed.shape:
            raise DataError(
                name,
                expected=f"the grid of the fixed image, {_sides(fixed)}",
                found=_sides(image),
                advice="bring both images to one grid first",
            )


def _scaled(image: Tensor, name: str, mask: Tensor | None) -> Tensor:
    image = image.float()
    if not bool(torch.isfinite(image).all()):
        count = int((~torch.isfinite(image)).sum())
        raise DataError(
            name,
            expected="finite intensities",
            found=f"{count} NaN or infinite",
            advice="replace them by 0 in the file",
        )
    scaled = [_standard(one, name, None if mask is None else mask[index]) for index, one in enumerate(image)]
    return torch.stack(scaled)


def _standard(image: Tensor, name: str, mask: Tensor | None) -> Tensor:
    values = image if mask is None else image[mask > 0]
    spread, middle = values.std(), values.mean()
    if not bool(spread > 1e-6 * values.abs().max()):
        raise DataError(
            f"{name}" if mask is None else f"{name} in the mask",
            expected="intensities that differ",
            found=f"the constant {float(middle):g}",
            advice="check that the file holds an image and not an empty volume",
        )
    scaled = (image - middle) / spread
    return scaled if mask is None else scaled * mask


def _sides(image: Tensor) -> str:
    return "x".join(str(side) for side in image.shape[2:])
