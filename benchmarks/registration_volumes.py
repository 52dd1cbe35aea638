"""Pairs of brain images for the benchmark of registration: one scan under known deformations, and a template.

The scan is VoxelMorph's ``data/test_scan.npz`` (Apache-2.0), 160x192x224 voxels of 1 mm with FreeSurfer labels; its
axes grow towards left, inferior and anterior. The template is MNI152 from the wheel of nilearn 0.14.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from visionzoo.ops.registration.transform import Transform
from visionzoo.ops.warp import integrate

# The labels that VoxelMorph scores, and the labels of both tissues.
SCORED = (2, 3, 4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 24, 28, 31, 41, 42, 43, 46, 47)
SCORED += (49, 50, 51, 52, 53, 54, 60, 63)
GREY = (3, 8, 10, 11, 12, 13, 17, 18, 26, 28, 42, 47, 49, 50, 51, 52, 53, 54, 58, 60)
WHITE = (2, 7, 16, 41, 46, 77, 85, 251, 252, 253, 254, 255)
MNI_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


@dataclass(frozen=True)
class Pair:
    """Two images of one grid with label maps.

    Attributes:
        labels: those that are scored.
        known: the map that made the fixed image of the moving one and its inverse, fields (1, 3, *S), if known.
    """

    name: str
    fixed: np.ndarray
    moving: np.ndarray
    fixed_labels: np.ndarray
    moving_labels: np.ndarray
    labels: tuple[int, ...]
    known: tuple[torch.Tensor, torch.Tensor] | None = None


def read_scan(file: Path, factor: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return the scan as means over cubes of ``factor`` voxels, and every ``factor``-th label."""
    with np.load(file) as arrays:
        volume, labels = arrays["vol"].astype(np.float32), arrays["seg"].astype(np.int32)
    return pooled(volume, factor), labels[::factor, ::factor, ::factor]


def pooled(volume: np.ndarray, factor: int) -> np.ndarray:
    """Return the means over cubes."""
    sides = [part for side in volume.shape for part in (side // factor, factor)]
    return volume.reshape(sides).mean((1, 3, 5), dtype=np.float32)


def synthetic_pair(scan: tuple[np.ndarray, np.ndarray], seed: int, *, affine: bool, name: str) -> Pair:
    """Return the scan, and the scan under a random deformation with a bias field of 25 % and noise of 0.02.

    The velocity is noise of a standard deviation of 7 voxels plus 0.35 times noise of 3.5 voxels, at most 6 voxels at
    half resolution, integrated by 7 squarings. The affine map has rotations of up to 8 degrees, scales of 0.94 to 1.07
    and shifts of up to 5 voxels.
    """
    image, labels = scan
    rng, size = np.random.default_rng(seed), image.shape
    unit = size[0] / 80  # the recipe is for 80 voxels along the first axis
    velocity = np.stack([_noise(rng, size, 7 * unit) + 0.35 * _noise(rng, size, 3.5 * unit) for _ in size])
    velocity *= 6 * unit / np.abs(velocity).max()
    matrix = _affine(rng, size, unit) if affine else np.eye(3, 4)
    deformation = integrate(torch.from_numpy(velocity)[None].float(), 7)
    known = Transform(size, torch.from_numpy(matrix)[None], deformation)
    moved = known.warp(torch.from_numpy(image)[None, None])[0, 0].numpy()
    moved_labels = known.warp(torch.from_numpy(labels)[None, None], mode="nearest")[0, 0].numpy()
    bias = _noise(rng, size, 20 * unit)
    moved = moved * (1 + 0.25 * bias / np.abs(bias).max())
    moved = np.where(moved_labels > 0, moved + rng.normal(scale=0.02, size=size), moved).astype(np.float32)
    fields = known.inverse_field(tolerance=1e-3), known.field()
    return Pair(name, image, moved, labels, moved_labels, SCORED, fields)


def _noise(rng: np.random.Generator, size: tuple[int, ...], sigma: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.normal(size=size).astype(np.float32), sigma)
    return noise / noise.std()


def _affine(rng: np.random.Generator, size: tuple[int, ...], unit: float) -> np.ndarray:
    """Draw a map around the centre of the grid, (3, 4)."""
    linear = np.diag(rng.uniform(0.94, 1.07, 3))
    for axes, degrees in zip(((0, 1), (0, 2), (1, 2)), rng.uniform(-8, 8, 3)):
        turn, angle = np.eye(3), np.deg2rad(degrees)
        turn[np.ix_(axes, axes)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        linear = turn @ linear
    centre = (np.array(size) - 1) / 2
    return np.c_[linear, centre - linear @ centre + rng.uniform(-5, 5, 3) * unit]


def template_pair(scan: tuple[np.ndarray, np.ndarray], folder: Path, factor: int = 2) -> Pair:
    """Return the scan and the MNI template; labels 1 and 2 are grey and white matter."""
    image, labels = scan
    size = tuple(side * factor for side in image.shape)
    template = [_template(folder / MNI_FILE.format(kind)) for kind in ("t1", "gm", "wm")]
    corner = [(rows.min() + rows.max() - side) // 2 for rows, side in zip(template[0].nonzero(), size)]
    moving, grey, white = (pooled(_cut(volume, corner, size), factor) for volume in template)
    tissue = np.where(np.isin(labels, GREY), 1, np.where(np.isin(labels, WHITE), 2, 0)).astype(np.int32)
    grey, white = grey / grey.max(), white / white.max()
    other = np.where(np.maximum(grey, white) < 0.5, 0, np.where(grey >= white, 1, 2)).astype(np.int32)
    return Pair("MNI template", image, moving / moving.max(), tissue, other, (1, 2))


def _template(file: Path) -> np.ndarray:
    """Return a map in the axes of the scan."""
    import nibabel
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    image = nibabel.load(file)
    turned = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt("LIA")))
    return np.asarray(turned.dataobj, np.float32)


def _cut(volume: np.ndarray, corner: list[int], size: tuple[int, ...]) -> np.ndarray:
    """Return the box of a size at a corner; voxels outside the volume are 0."""
    border = max(size)
    box = tuple(slice(border + start, border + start + side) for start, side in zip(corner, size))
    return np.pad(volume, border)[box]
