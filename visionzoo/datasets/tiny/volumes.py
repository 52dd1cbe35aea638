"""Drawn brains for registration: subjects of one template, each warped by a known smooth field.

The template is a ball of smoothed noise with five label blobs. ``ixi`` has T1-like and T2-like volumes in the layout of
IXI, ``oasis`` the layout of Neurite-OASIS, ``oasis_2d`` slices in VoxelMorph's ``.npz``::

    ixi        IXI-T1/IXI002-Tiny-0002-T1.nii.gz, IXI-T2/IXI002-Tiny-0002-T2.nii.gz,
               labels/IXI002-Tiny-0002-labels.nii.gz
    oasis      OASIS_OAS1_0001_MR1/aligned_norm.nii.gz, aligned_seg4.nii.gz
    oasis_2d   OASIS_OAS1_0001_MR1.npz with vol and seg

Volumes are (size, size, 3 size / 2) voxels with an oblique affine of 1.2 x 1.2 x 0.8 mm, slices (size, 3 size / 2).
Writing NIfTI needs the extra ``medical``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import RandomState
from scipy import ndimage

from visionzoo.datasets.volume_files import volume_bytes
from visionzoo.structures.volume_grids import sample, voxel_positions
from visionzoo.structures.volumes import Volume

LABELS = 5
# Oblique: turned by about 8 degrees around the first axis.
AFFINE = np.array([[-1.2, 0, 0, 20], [0, 1.19, -0.11, -18], [0, 0.17, 0.79, -15], [0, 0, 0, 1]])
# Intensities of the background, the tissue and the labels 1 to 5.
_T1 = (0.02, 0.5, 0.95, 0.3, 0.8, 0.15, 0.65)
_T2 = (0.04, 0.55, 0.1, 0.8, 0.25, 0.95, 0.4)

Write = Callable[[Path, int, np.ndarray, np.ndarray, np.ndarray], None]


def draw_template(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and the texture of the template, (*shape): 0 outside, 1 tissue, 2 to 6 the blobs.

    Example:
        >>> classes, texture = draw_template(0, (24, 36))
        >>> sorted(set(classes.ravel().tolist())), texture.shape
        ([0, 1, 2, 3, 4, 5, 6], (24, 36))
    """
    rng = RandomState(seed)
    centre = [(side - 1) / 2 for side in shape]
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")) - np.reshape(centre, (-1, *[1] * len(shape)))
    radii = np.reshape(shape, (-1, *[1] * len(shape))) / 2
    ball = np.sqrt(((places / radii) ** 2).sum(axis=0))
    wobble = ndimage.gaussian_filter(rng.standard_normal(shape), min(shape) / 10)
    classes = (ball + 0.1 * wobble / wobble.std() < 0.82).astype(np.int16)
    for label in range(LABELS):
        angle = 2 * np.pi * (label + 0.3 * rng.random_sample()) / LABELS
        offset = np.zeros_like(radii)
        offset[0], offset[1] = 0.42 * np.cos(angle), 0.42 * np.sin(angle)
        if len(shape) == 3:
            offset[2] = 0.3 * rng.uniform(-1, 1)
        size = rng.uniform(0.17, 0.24)
        blob = np.sqrt(((places / radii - offset) ** 2).sum(axis=0)) < size
        classes[blob & (classes > 0)] = 2 + label
    texture = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
    return classes, texture / texture.std()


def draw_field(seed: int, shape: tuple[int, ...], largest: float) -> np.ndarray:
    """Return a smooth displacement field (n, *shape) in voxels, whose largest component is ``largest``.

    Example:
        >>> float(np.abs(draw_field(1, (24, 36), 2.5)).max())
        2.5
    """
    rng = RandomState(seed)
    noise = rng.standard_normal((len(shape), *shape))
    smooth = np.stack([ndimage.gaussian_filter(part, min(shape) / 6, mode="wrap") for part in noise])
    return largest * smooth / np.abs(smooth).max()


def draw_affine(seed: int, shape: tuple[int, ...], degrees: int) -> np.ndarray:
    """Return the displacement field (n, *shape) of an affine map around the centre.

    The map turns by up to ``degrees`` in each plane. For each degree it scales each axis by up to 0.5 % and shifts it
    by up to 0.5 % of its side.

    Example:
        >>> draw_affine(1, (24, 36), 0).any()
        np.False_
    """
    rng, axes = RandomState([seed, degrees]), len(shape)
    angles = np.radians(degrees) * rng.uniform(-1, 1, (axes, axes))
    linear = np.triu(angles, 1) - np.triu(angles, 1).T + 0.005 * degrees * np.diag(rng.uniform(-1, 1, axes))
    shift = 0.005 * degrees * np.array(shape) * rng.uniform(-1, 1, axes)
    places = np.stack(np.meshgrid(*(np.arange(side) - (side - 1) / 2 for side in shape), indexing="ij"))
    return np.tensordot(linear, places, 1) + shift.reshape(-1, *[1] * axes)


def draw_subject(
    seed: int, number: int, shape: tuple[int, ...], turn: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the T1-like and T2-like image (float32 in 0 to 1), the labels (int16) and the field of a subject.

    The subject is the template, warped by the field: ``subject(x) = template(x + field(x))``. With ``turn``, in
    degrees, the field has an affine part too, see :func:`draw_affine`.

    Example:
        >>> t1, t2, labels, field = draw_subject(0, 1, (24, 24, 36))
        >>> t1.shape, field.shape, labels.max()
        ((24, 24, 36), (3, 24, 24, 36), np.int16(5))
    """
    classes, texture = draw_template(seed, shape)
    key = 1 + 1000 * seed + number
    field = draw_field(key, shape, 0.1 * min(shape)) + draw_affine(key, shape, turn)
    positions = voxel_positions(field)
    rng = RandomState([seed, number])
    images = []
    for levels, amount in ((_T1, 0.05), (_T2, -0.04)):
        template = ndimage.gaussian_filter(np.array(levels)[classes], 0.6) + amount * texture * (classes > 0)
        noisy = sample(template, positions) + 0.01 * rng.standard_normal(shape)
        images.append(noisy.clip(0, 1).astype(np.float32))
    labels = np.maximum(sample(classes, positions, nearest=True) - 1, 0)
    return images[0], images[1], labels, field


class _Twin:
    """Subjects in one layout, as a twin of :mod:`visionzoo.datasets.tiny`."""

    VERSION = 1
    DEFAULTS = {"subjects": 6, "size": 32, "seed": 0, "turn": 0}
    LOWEST = {"subjects": 2, "size": 16, "seed": 0, "turn": 0}

    def __init__(self, axes: int, write: Write):
        self.axes, self.write = axes, write

    def draw(self, folder: Path, *, subjects: int, size: int, seed: int, turn: int) -> None:
        """Draw all subjects into ``folder``.

        Args:
            folder: an empty folder.
            subjects: number of subjects.
            size: side of the images in voxels; the last axis has half as many more.
            seed: different seeds draw different templates and fields.
            turn: largest angle in degrees of the affine part of the fields; 0 for none.
        """
        shape = (size,) * (self.axes - 1) + (size * 3 // 2,)
        for number in range(1, subjects + 1):
            t1, t2, labels, _ = draw_subject(seed, number, shape, turn)
            self.write(folder, number, t1, t2, labels)


def _write(path: Path, data: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(volume_bytes(data, Volume(data, AFFINE)))


def _write_ixi(folder: Path, number: int, t1: np.ndarray, t2: np.ndarray, labels: np.ndarray) -> None:
    stem = f"IXI{number + 1:03d}-Tiny-{number + 1:04d}"
    for place, data in (("IXI-T1/{}-T1", t1), ("IXI-T2/{}-T2", t2)):
        _write(folder / f"{place.format(stem)}.nii.gz", np.rint(1000 * data).astype(np.int16))
    _write(folder / "labels" / f"{stem}-labels.nii.gz", labels)


def _write_oasis(folder: Path, number: int, t1: np.ndarray, t2: np.ndarray, labels: np.ndarray) -> None:
    subject = folder / f"OASIS_OAS1_{number:04d}_MR1"
    _write(subject / "aligned_norm.nii.gz", t1)
    _write(subject / "aligned_seg4.nii.gz", labels)


def _write_slice(folder: Path, number: int, t1: np.ndarray, t2: np.ndarray, labels: np.ndarray) -> None:
    np.savez_compressed(folder / f"OASIS_OAS1_{number:04d}_MR1.npz", vol=t1, seg=labels)


TWINS = {"ixi": _Twin(3, _write_ixi), "oasis": _Twin(3, _write_oasis), "oasis_2d": _Twin(2, _write_slice)}
