"""A sheet that shows a registration: slices before and after, checkerboards, the deformed grid and the Jacobian.

One row for each plane; that of a 2-D image is broken into two. Planes of a volume with an affine are shown as seen by a
radiologist's software with the neurological convention: top or front up, the patient's left at the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.ops.intensities import scale_intensities
from visionzoo.reports.images import label_font
from visionzoo.structures.volumes import orientation_of

COLUMNS = ("fixed", "moving before", "moving after", "checks before", "checks after", "grid", "Jacobian")
_TILE, _GAP, _HEAD, _LETTERS = 200, 6, 28, 17
_CHECKS, _LINES = 6, 22
_FIRST, _BACK = 4, 24  # columns of the first row of a 2-D image; grey between the images
# The determinant at which the colours of the Jacobian are fully saturated, on a logarithmic scale.
_STRONG = 3.0
_SHRINKS, _GROWS, _FOLDED = np.array([40, 90, 200.0]), np.array([210, 60, 40.0]), np.array([255, 215, 0.0])
_COLOURS = "Jacobian: blue shrinks, red grows, yellow folds"
_VIEWS = {(1, 2): "sagittal", (0, 2): "coronal", (0, 1): "axial"}


@dataclass(frozen=True)
class _Plane:
    """One plane of a volume for display.

    Attributes:
        name: ``axial`` and so on.
        fixed_axis, index: the axis across the plane, None for a 2-D image, and the slice.
        axes: the axes of the volume that go down and to the right.
        flips: for both, whether the display goes against the axis.
    """

    name: str
    fixed_axis: int | None
    index: int
    axes: tuple[int, int]
    flips: tuple[bool, bool]

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return the plane of (*S) values as (rows, columns)."""
        plane = values if self.fixed_axis is None else np.take(values, self.index, axis=self.fixed_axis)
        plane = plane if self.axes[0] < self.axes[1] else plane.T
        return np.flip(plane, [at for at, flip in enumerate(self.flips) if flip])


def draw_registration(
    fixed: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    field: np.ndarray,
    determinants: np.ndarray,
    *,
    affine: np.ndarray | None = None,
    spacing: Sequence[float] = (),
    title: str = "",
) -> np.ndarray:
    """Draw the sheet of one pair.

    Args:
        fixed, before, after: the fixed image, and the moving image before and after, (*S) on one grid.
        field: (n, *S), displacements in voxels.
        determinants: (*S), of the Jacobian of the deformation.
        affine: (4, 4) of the fixed image, which orients the planes; None to show the axes as stored.
        spacing: length of a voxel along each axis; default 1.
        title: line above the sheet.

    Returns:
        (H, W, 3) uint8 RGB.

    Example:
        >>> image = np.arange(48.0).reshape(6, 8)
        >>> draw_registration(image, image, image, np.zeros((2, 6, 8)), np.ones((6, 8))).shape
        (408, 830, 3)
    """
    images = [scale_intensities(np.asarray(image, np.float32)) for image in (fixed, before, after)]
    lengths = np.array(spacing or (1.0,) * fixed.ndim)
    planes = planes_of(images[0], affine)
    rows = [_row(plane, images, field, determinants, lengths[list(plane.axes)]) for plane in planes]
    low, high = float(determinants.min()), float(determinants.max())
    heads = [*COLUMNS[:-1], f"Jacobian {low:.2f} to {high:.2f}"]
    if len(rows) > 1:
        return _arranged(rows, heads, title, [plane.name for plane in planes], _COLOURS)
    upper = _arranged([rows[0][:_FIRST]], heads[:_FIRST], title, [""])
    lower = _arranged([rows[0][_FIRST:]], heads[_FIRST:], _COLOURS, [""])
    right = np.full((len(lower), upper.shape[1] - lower.shape[1], 3), _BACK, np.uint8)
    return np.concatenate([upper, np.concatenate([lower, right], axis=1)])


def planes_of(image: np.ndarray, affine: np.ndarray | None) -> list[_Plane]:
    """Return the planes to show: the whole 2-D image, or three orthogonal ones through the centre of the content."""
    if image.ndim == 2:
        return [_Plane("", None, 0, (0, 1), (False, False))]
    content = image * (image > image.mean())
    centre = [round(float(place)) for place in _centre_of_mass(content)]
    towards = orientation_of(np.eye(4) if affine is None else affine)
    world = [next(at for at, pair in enumerate(("LR", "PA", "IS")) if letter in pair) for letter in towards]
    if sorted(world) != [0, 1, 2]:
        world, towards = [0, 1, 2], "RAS"
    planes = []
    for (across, up), name in _VIEWS.items():
        down_axis, right_axis = world.index(up), world.index(across)
        (other,) = {0, 1, 2} - {down_axis, right_axis}
        flips = (towards[down_axis] in "AS", towards[right_axis] in "LP")
        planes.append(_Plane(name if affine is not None else "", other, centre[other], (down_axis, right_axis), flips))
    return planes


def _centre_of_mass(values: np.ndarray) -> list[float]:
    total = float(values.sum()) or 1.0
    sums = [
        values.sum(axis=tuple(other for other in range(values.ndim) if other != axis)) for axis in range(values.ndim)
    ]
    return [float((line * np.arange(len(line))).sum()) / total for line in sums]


def _row(
    plane: _Plane, images: Sequence[np.ndarray], field: np.ndarray, determinants: np.ndarray, lengths: np.ndarray
) -> list[Image.Image]:
    shown = [plane.of(image) for image in images]
    size = np.array(shown[0].shape) * lengths
    scale = _TILE / size.max()
    pixels = tuple(max(8, round(float(side * scale))) for side in size)
    grey = [_resized(np.repeat((255 * image).astype(np.uint8)[..., None], 3, axis=2), pixels) for image in shown]
    fixed, before, after = (np.asarray(image) for image in grey)
    checks = [Image.fromarray(np.where(_checkerboard(pixels)[..., None], fixed, other)) for other in (before, after)]
    jacobian = _resized(_jacobian_colours(plane.of(determinants)), pixels, Image.Resampling.NEAREST)
    return [*grey, *checks, _grid(plane, field, pixels), jacobian]


def _resized(
    image: np.ndarray, pixels: Sequence[int], kind: Image.Resampling = Image.Resampling.BILINEAR
) -> Image.Image:
    return Image.fromarray(image).resize((pixels[1], pixels[0]), kind)


def _checkerboard(pixels: Sequence[int]) -> np.ndarray:
    side = max(pixels) / _CHECKS
    rows, columns = (np.arange(length) // side for length in pixels)
    return (rows[:, None] + columns[None]) % 2 == 0


def _jacobian_colours(determinants: np.ndarray) -> np.ndarray:
    """Return white for no change of volume, blue where it shrinks, red where it grows, yellow for folds."""
    strength = np.log(np.maximum(determinants, 1e-6)) / np.log(_STRONG)
    amount = np.abs(strength).clip(0, 1)[..., None]
    colours = 255 * (1 - amount) + amount * np.where(strength[..., None] < 0, _SHRINKS, _GROWS)
    return np.where(determinants[..., None] <= 0, _FOLDED, colours).astype(np.uint8)


def _grid(plane: _Plane, field: np.ndarray, pixels: Sequence[int]) -> Image.Image:
    """Draw where lines of the fixed grid are in the moving image."""
    canvas = Image.new("RGB", (pixels[1] * 2, pixels[0] * 2), (255, 255, 255))
    pen = ImageDraw.Draw(canvas)
    down, right = (plane.of(field[axis]) * (-1 if flip else 1) for axis, flip in zip(plane.axes, plane.flips))
    rows, columns = down.shape
    places = [np.arange(rows)[:, None] + down, np.arange(columns)[None] + right]
    y, x = ((place + 0.5) * 2 * side / count for place, side, count in zip(places, pixels, (rows, columns)))
    step = max(1, round(max(rows, columns) / _LINES))
    for at in range(step // 2, rows, step):
        pen.line(list(zip(x[at].tolist(), y[at].tolist())), fill=(40, 40, 40), width=2)
    for at in range(step // 2, columns, step):
        pen.line(list(zip(x[:, at].tolist(), y[:, at].tolist())), fill=(40, 40, 40), width=2)
    return canvas.resize((pixels[1], pixels[0]), Image.Resampling.LANCZOS)


def _arranged(
    rows: Sequence[Sequence[Image.Image]], heads: Sequence[str], title: str, names: Sequence[str], remark: str = ""
) -> np.ndarray:
    """Return the sheet: the title, a line of headings, and the rows, each with its name in the first image.

    The remark is written at the right of the title if there is room.
    """
    top = _HEAD * (2 if title else 1)
    heights = [max(image.height for image in row) + _GAP for row in rows]
    widths = [max(row[at].width for row in rows) for at in range(len(heads))]
    widths = [max(width, _TILE) + _GAP for width in widths]
    canvas = Image.new("RGB", (sum(widths) + _GAP, top + sum(heights) + _GAP), (_BACK,) * 3)
    pen, font = ImageDraw.Draw(canvas), label_font(_LETTERS)
    if title:
        pen.text((_GAP, 4), title, fill=(255, 255, 255), font=font)
        if font.getlength(title) + font.getlength(remark) < canvas.width - 4 * _GAP:
            pen.text((canvas.width - _GAP, 4), remark, fill=(220, 220, 220), font=font, anchor="ra")
    for at, head in enumerate(heads):
        left = _GAP + sum(widths[:at])
        pen.text((left, top - _HEAD + 4), head, fill=(220, 220, 220), font=font)
        for row, images in enumerate(rows):
            shift = (widths[at] - _GAP - images[at].width) // 2
            canvas.paste(images[at], (left + shift, top + _GAP // 2 + sum(heights[:row])))
    for row, name in enumerate(names):
        pen.text((_GAP + 4, top + _GAP // 2 + 2 + sum(heights[:row])), name, fill=(255, 255, 255), font=font)
    return np.asarray(canvas)
