"""A volume, two fields and an affine map on oblique, anisotropic and left-handed grids, and SimpleITK's result.

``simpleitk_warped.npz`` holds what SimpleITK 2.5.7 returns for :func:`with_simpleitk`.
"""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from visionzoo.datasets.affine_files import tfm_text
from visionzoo.datasets.field_files import field_bytes
from visionzoo.structures.volumes import Volume

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed (extra medical)")

STORED = Path(__file__).with_name("simpleitk_warped.npz")
SHAPE = (14, 16, 12)
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", (12, -9, 20), degrees=True).as_matrix() * [-1.2, 0.9, 2.1]
AFFINE[:3, 3] = 10, -20, 5
# The moving image has another grid: other spacing and orientation, around the same place.
MOVING = AFFINE @ np.array([[0, 0.8, 0, -2], [0.9, 0, 0, -1], [0, 0, -0.7, 13], [0, 0, 0, 1]])
# Inside, where neither the end of a field nor of an image counts.
INNER = (slice(4, -4),) * 3
CHAINS = {"field": ("first.nii.gz",), "chain": ("first.nii.gz", "affine.tfm", "second.nii.gz")}


def smooth_field(seed: int, shape: tuple[int, ...] = SHAPE, size: float = 0.6) -> np.ndarray:
    """Return a smooth field in voxels, (n, *shape)."""
    rng = np.random.RandomState(seed)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    waves = rng.uniform(0.2, 0.5, (len(shape), len(shape)))
    phases = rng.uniform(0, 6, (len(shape), *[1] * len(shape)))
    return (size * np.sin(np.tensordot(waves, places, axes=1) + phases)).astype(np.float32)


def affine_map() -> np.ndarray:
    """Return a small turn, stretch and shift, (3, 4) in millimetres RAS around the centre of the grid."""
    matrix = np.array([[1.02, 0.03, -0.02], [-0.03, 0.98, 0.02], [0.01, -0.02, 1.01]])
    centre = (AFFINE @ [*(np.array(SHAPE) / 2), 1])[:3]
    return np.column_stack([matrix, centre - matrix @ centre + [0.3, -0.4, 0.5]])


def moving_image() -> np.ndarray:
    """Return the volume to be warped."""
    x, y, z = np.meshgrid(*map(np.arange, (20, 22, 21)), indexing="ij")
    return (2 + np.sin(x / 3) + np.cos(y / 4 + z / 5)).astype(np.float32)


def write_case(folder: Path) -> Path:
    """Write ``moving.nii.gz``, ``first.nii.gz``, ``second.nii.gz`` and ``affine.tfm``."""
    nibabel.save(nibabel.Nifti1Image(moving_image(), MOVING), folder / "moving.nii.gz")
    fixed = Volume(np.zeros(SHAPE, np.float32), AFFINE)
    for seed, name in enumerate(("first", "second")):
        (folder / f"{name}.nii.gz").write_bytes(field_bytes(smooth_field(seed), fixed))
    (folder / "affine.tfm").write_text(tfm_text(affine_map()))
    return folder


def with_simpleitk(folder: Path, names: tuple[str, ...]) -> np.ndarray:
    """Return the volume of the case, resampled by SimpleITK through the transforms in the order of the points."""
    import SimpleITK as sitk  # noqa: N813

    chain = sitk.CompositeTransform(3)
    for name in names[::-1]:  # the last one added applies first
        path = str(folder / name)
        if name.endswith(".tfm"):
            chain.AddTransform(sitk.ReadTransform(path))
        else:
            chain.AddTransform(sitk.DisplacementFieldTransform(sitk.ReadImage(path, sitk.sitkVectorFloat64)))
    grid = sitk.VectorIndexSelectionCast(sitk.ReadImage(str(folder / names[0]), sitk.sitkVectorFloat64), 0)
    moving = sitk.ReadImage(str(folder / "moving.nii.gz"), sitk.sitkFloat64)
    return sitk.GetArrayFromImage(sitk.Resample(moving, grid, chain, sitk.sitkLinear, 0.0)).transpose(2, 1, 0)


def read_array(path: Path) -> np.ndarray:
    """Return the values of a NIfTI file."""
    return np.asarray(nibabel.load(path).dataobj)
