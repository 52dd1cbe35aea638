"""Displacement fields in files, and a warp that is computed again from the file."""

import re
from itertools import product

import numpy as np
import pytest
import torch
from nifti_files import AFFINE, nibabel, write_nifti

from visionzoo.datasets.field_files import FIELD_FORMATS, field_bytes, read_field
from visionzoo.datasets.volume_files import read_volume
from visionzoo.errors import DataError, UnknownName
from visionzoo.ops.warp import warp
from visionzoo.structures.volumes import Volume

RNG = np.random.RandomState(0)
FIELD = RNG.randn(3, 6, 7, 8).astype(np.float32)
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def fixed(tmp_path):
    return read_volume(write_nifti(tmp_path / "fixed.nii.gz", RNG.rand(6, 7, 8).astype(np.float32)))


@pytest.mark.parametrize("form", FIELD_FORMATS)
@pytest.mark.parametrize("shape", [(2, 6, 7), (3, 6, 7, 8), (3, 3, 5, 3), (2, 2, 2)])
def test_a_field_survives_writing_and_reading(tmp_path, form, shape):
    field = RNG.randn(*shape).astype(np.float32)
    affine = AFFINE if len(shape) == 4 else np.diag([-2.0, 3.0, 1.0, 1.0])
    (tmp_path / "f.nii.gz").write_bytes(field_bytes(field, Volume(np.zeros(shape[1:]), affine), form))
    read, grid = read_field(tmp_path / "f.nii.gz")
    assert read.dtype == np.float32
    assert grid.shape == shape[1:]
    assert np.abs(read - field).max() < 1e-6
    assert np.abs(grid.affine - affine).max() < 1e-6


def test_shape_intent_and_values_of_an_itk_field(tmp_path, fixed):
    (tmp_path / "f.nii.gz").write_bytes(field_bytes(FIELD, fixed))
    image = nibabel.load(tmp_path / "f.nii.gz")
    assert image.shape == (6, 7, 8, 1, 3)
    assert int(image.header["intent_code"]) == 1007
    assert np.array_equal(image.affine, nibabel.load(tmp_path / "fixed.nii.gz").affine)
    at = (1, 2, 3)
    expected = FLIP[:3, :3] @ AFFINE[:3, :3] @ FIELD[(slice(None), *at)]
    assert np.abs(image.get_fdata()[(*at, 0)] - expected).max() < 1e-5


def warp_by_file(path, moving, affine):
    """Warp a volume by an ITK field, point by point in millimetres: an independent computation without the zoo."""
    image = nibabel.load(path)
    vectors, warped = image.get_fdata(), np.zeros(image.shape[:3])
    into = np.linalg.inv(FLIP @ affine)
    for voxel in np.ndindex(*warped.shape):
        point = FLIP @ image.affine @ [*voxel, 1]
        index = (into @ [*(point[:3] + vectors[(*voxel, 0)]), 1])[:3]
        low = np.floor(index).astype(int)
        for corner in product((0, 1), repeat=3):
            place, weight = low + corner, np.prod(np.where(corner, index - low, 1 - (index - low)))
            if ((place >= 0) & (place < moving.shape)).all():
                warped[voxel] += weight * moving[tuple(place)]
    return warped


def test_the_file_warps_as_the_zoo_on_an_oblique_anisotropic_left_handed_grid(tmp_path, fixed):
    assert np.linalg.det(AFFINE[:3, :3]) < 0
    (tmp_path / "f.nii.gz").write_bytes(field_bytes(FIELD, fixed))
    moving = RNG.rand(6, 7, 8).astype(np.float32)
    ours = warp(torch.from_numpy(moving)[None, None], torch.from_numpy(FIELD)[None])[0, 0].numpy()
    assert np.abs(warp_by_file(tmp_path / "f.nii.gz", moving, AFFINE) - ours).max() < 1e-5


def test_an_image_is_no_field(tmp_path):
    with pytest.raises(DataError, match=re.escape("found shape (6, 7, 8); give the file of a field")):
        read_field(write_nifti(tmp_path / "a.nii", RNG.rand(6, 7, 8)))
    with pytest.raises(DataError, match="expected finite displacements"):
        read_field(write_nifti(tmp_path / "a.nii", np.full((4, 5, 6, 3), np.nan)))


def test_an_unknown_format_is_named(fixed):
    with pytest.raises(UnknownName, match="did you mean 'voxel'"):
        field_bytes(FIELD, fixed, "voxels")
