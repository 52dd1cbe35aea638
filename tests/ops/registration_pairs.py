"""Small pairs of synthetic images with labels and a known smooth deformation, in 2-D and 3-D."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from visionzoo.ops.registration.transform import Transform
from visionzoo.ops.warp import integrate

GRIDS = [(41, 56), (26, 35, 30)]


def drawn(grid, seed=0, batch=1, sigma=2.5):
    """Draw textured blobs on a dark background, (B, 1, *S), and 4 labels from their intensities."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(batch, *grid)), (0, *[sigma] * len(grid)))
    noise /= noise.std()
    places = np.stack(np.meshgrid(*[np.linspace(-1, 1, side) for side in grid], indexing="ij"))
    inside = (places**2).sum(0) < 0.7
    image = np.where(inside, 2 + noise, 0)
    labels = np.where(inside, 1 + np.digitize(noise, [-0.7, 0, 0.7]), 0)
    return torch.from_numpy(image).float()[:, None], torch.from_numpy(labels)[:, None].float()


def smooth_field(grid, size=2.0, seed=1, batch=1):
    """Draw the field of a diffeomorphism of at most about ``size`` voxels."""
    rng = np.random.default_rng(seed)
    velocity = ndimage.gaussian_filter(rng.normal(size=(batch, len(grid), *grid)), (0, 0, *[4] * len(grid)))
    return integrate(torch.from_numpy(velocity * size / np.abs(velocity).max()).float(), 6)


def turned(grid, degrees=6.0, scale=1.05, shift=1.5):
    """Return an affine map around the centre of the grid, (1, n, n + 1)."""
    axes, angle = len(grid), np.deg2rad(degrees)
    linear = np.eye(axes)
    linear[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    linear[-1] *= scale
    centre = (np.array(grid) - 1) / 2
    return torch.from_numpy(np.c_[linear, centre - linear @ centre + shift])[None]


def pair(grid, affine=None, size=3.0, seed=0, batch=1):
    """Draw (fixed, moving, their labels): the moving image is the fixed one under a known map."""
    fixed, labels = drawn(grid, seed, batch)
    axes = len(grid)
    matrix = torch.eye(axes, axes + 1, dtype=torch.float64)[None] if affine is None else affine
    known = Transform(grid, matrix.expand(batch, -1, -1), smooth_field(grid, size, seed + 1, batch))
    return fixed, known.warp(fixed), labels, known.warp(labels, mode="nearest")


def dice(first, second):
    """Return the mean Dice of the labels 1 to 4."""
    shares = [
        2 * ((first == label) & (second == label)).sum() / ((first == label).sum() + (second == label).sum())
        for label in range(1, 5)
    ]
    return float(np.mean(shares))
