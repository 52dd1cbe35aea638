"""Volumes in files: what is read, what is refused, and that headers survive."""

import gzip
import re
import tracemalloc

import numpy as np
import pytest
import torch
from nifti_files import AFFINE, nibabel, write_nifti
from PIL import Image

from visionzoo.datasets.volume_files import axes_of, read_labels, read_volume, volume_bytes
from visionzoo.errors import DataError, MissingExtra
from visionzoo.structures.volumes import Volume

RNG = np.random.RandomState(0)
DATA = RNG.rand(6, 7, 8).astype(np.float32)
LABELS = RNG.randint(0, 5, (6, 7, 8))


def notes_of(path):
    notes = []
    return read_volume(path, notes.append), notes


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mgz", ".npz", ".npy"])
def test_a_volume_survives_writing_and_reading(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(volume_bytes(DATA, Volume(DATA, AFFINE), ending))
    volume, notes = notes_of(path)
    assert np.array_equal(volume.data, DATA)
    assert volume.ending == ending
    assert notes == []
    if ending != ".npy":
        assert np.abs(volume.affine - AFFINE).max() < 1e-5


def test_the_header_of_a_file_is_kept_with_other_values(tmp_path):
    image = nibabel.Nifti1Image(RNG.randint(0, 999, DATA.shape).astype(np.int16), AFFINE)
    image.header["descrip"], image.header["xyzt_units"] = b"scanner 7", 10
    image.header.set_qform(AFFINE, 1)
    image.header.set_slope_inter(2.0, -3.0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    volume, _ = notes_of(tmp_path / "a.nii.gz")
    for values in (DATA, LABELS):
        (tmp_path / "b.nii.gz").write_bytes(volume_bytes(values, volume))
        written = nibabel.load(tmp_path / "b.nii.gz")
        assert np.array_equal(np.asanyarray(written.dataobj), values)
        for key in ("descrip", "xyzt_units", "sform_code", "qform_code", "pixdim", "srow_x", "quatern_b"):
            assert np.array_equal(written.header[key], volume.header[key]), key


def test_the_header_of_an_mgz_file_is_kept_with_other_values(tmp_path):
    image = nibabel.MGHImage(DATA, AFFINE)
    image.header["tr"], image.header["flip_angle"] = 2300, 0.15
    nibabel.save(image, tmp_path / "a.mgz")
    volume, _ = notes_of(tmp_path / "a.mgz")
    for values in (DATA * 2, LABELS):
        (tmp_path / "b.mgz").write_bytes(volume_bytes(values, volume))
        written = nibabel.load(tmp_path / "b.mgz")
        assert np.array_equal(np.asanyarray(written.dataobj), values)
        for key in ("tr", "flip_angle", "delta", "Mdc", "Pxyz_c", "goodRASFlag"):
            assert np.array_equal(written.header[key], image.header[key]), key


@pytest.mark.parametrize("kind", [">i4", ">i2", "<u2", "<u4", "|i1", "|b1", ">f8"])
def test_labels_of_any_type_and_byte_order_can_be_tensors(kind, tmp_path):
    labels = (LABELS > 2 if kind == "|b1" else LABELS).astype(kind)
    np.save(tmp_path / "a.npy", labels)
    found = read_labels(tmp_path / "a.npy").data
    assert np.array_equal(torch.from_numpy(found).long().numpy(), labels)
    (tmp_path / "a.mgz").write_bytes(volume_bytes(LABELS, Volume(DATA, AFFINE), ".mgz"))
    assert torch.from_numpy(read_labels(tmp_path / "a.mgz").data).max() == 4


def test_not_more_is_unpacked_than_the_header_states(tmp_path):
    content = nibabel.Nifti1Image(DATA, AFFINE).to_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content + bytes(2 * 10**8), 1))
    tracemalloc.start()
    assert notes_of(tmp_path / "a.nii.gz")[0].shape == DATA.shape
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_the_number_of_axes_is_read_from_the_header(tmp_path):
    for ending in (".nii.gz", ".mgz", ".npy"):
        (tmp_path / f"a{ending}").write_bytes(volume_bytes(DATA, Volume(DATA, AFFINE), ending))
        assert axes_of(tmp_path / f"a{ending}") == 3


def test_integers_stay_integers_and_labels_may_be_stored_as_floats(tmp_path):
    whole, _ = notes_of(write_nifti(tmp_path / "a.nii", LABELS.astype(np.int16)))
    assert whole.data.dtype == np.int16
    labels = read_labels(write_nifti(tmp_path / "b.nii", LABELS.astype(np.float64)))
    assert labels.data.dtype.kind == "i"
    assert np.array_equal(labels.data, LABELS)


def test_vol_and_seg_of_npz(tmp_path):
    np.savez(tmp_path / "a.npz", vol=DATA, seg=LABELS.astype(float))
    volume, _ = notes_of(tmp_path / "a.npz")
    assert np.array_equal(volume.labels, LABELS)
    assert np.array_equal(read_labels(tmp_path / "a.npz").data, LABELS)


@pytest.mark.parametrize(("mode", "kind"), [("L", np.uint8), ("I;16", np.uint16), ("RGB", np.uint8)])
def test_a_slice_is_read_as_grey_levels(tmp_path, mode, kind):
    grey = (np.arange(6 * 9).reshape(6, 9) * (1000 if mode == "I;16" else 4)).astype(kind)
    Image.fromarray(np.stack([grey] * 3, -1) if mode == "RGB" else grey).save(tmp_path / "a.png")
    volume, notes = notes_of(tmp_path / "a.png")
    assert np.array_equal(volume.data, grey)
    assert bool(notes) == (mode == "RGB")
    (tmp_path / "b.png").write_bytes(volume_bytes(volume.data.astype(np.float32), volume))
    assert np.array_equal(notes_of(tmp_path / "b.png")[0].data, grey)


def test_an_axis_of_one_voxel_at_the_end_is_removed(tmp_path):
    assert notes_of(write_nifti(tmp_path / "a.nii", DATA[..., None]))[0].shape == (6, 7, 8)
    assert notes_of(write_nifti(tmp_path / "b.nii", DATA[..., :1]))[0].shape == (6, 7)


def test_nan_voxels_are_read_as_0_with_a_note(tmp_path):
    volume, notes = notes_of(write_nifti(tmp_path / "a.nii", np.where(DATA > 0.9, np.nan, DATA)))
    assert volume.data.min() == 0
    assert np.isfinite(volume.data).all()
    assert notes == [f"{(DATA > 0.9).sum()} voxels are NaN and are read as 0"]


def test_a_header_without_affine_is_noted(tmp_path):
    volume, notes = notes_of(write_nifti(tmp_path / "a.nii", DATA, None))
    assert volume.affine is None
    assert "states no affine" in notes[0]


def test_the_sform_is_used_where_the_qform_disagrees(tmp_path):
    image = nibabel.Nifti1Image(DATA, AFFINE)
    shifted = AFFINE.copy()
    shifted[0, 3] += 4
    image.header.set_sform(AFFINE, 1)
    image.header.set_qform(shifted, 1)
    nibabel.save(image, tmp_path / "a.nii")
    volume, notes = notes_of(tmp_path / "a.nii")
    assert np.abs(volume.affine - AFFINE).max() < 1e-5
    assert notes == ["sform and qform disagree by 4 mm, and the sform is used"] or "4.0" in notes[0]


def broken(path, how):
    """Write a file that cannot be used, and return its path."""
    if how == "series":
        return write_nifti(path, RNG.rand(4, 4, 4, 9))
    if how == "constant":
        return write_nifti(path, np.full((4, 5, 6), 7.0))
    if how == "all NaN":
        return write_nifti(path, np.full((4, 5, 6), np.nan))
    if how == "infinite":
        return write_nifti(path, np.where(DATA > 0.9, np.inf, DATA))
    if how == "singular":
        write_nifti(path.with_name("b.nii"), DATA, np.eye(4))
        content = bytearray(path.with_name("b.nii").read_bytes())
        content[280:328] = np.zeros(12, np.float32).tobytes()
        path.write_bytes(content)
        return path
    content = write_nifti(path, DATA).read_bytes()
    at = len(content) // 2
    changed = content[:at] if how == "truncated" else content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]
    path.write_bytes(b"hello" if how == "text" else b"" if how == "empty" else changed)
    return path


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("series", "expected one volume, found a series of 9 volumes, 4x4x4x9; save one of them"),
        ("constant", "expected an image with at least two values, found the value 7 at every voxel"),
        ("all NaN", "expected finite intensities, found 120 voxels"),
        ("infinite", "expected finite intensities, found"),
        ("singular", "affine: expected a matrix that can be inverted"),
        ("truncated", "expected a complete file, but it breaks off; copy or download it again"),
        ("damaged", "expected intact compressed data, but"),
        ("text", "expected the header of a .nii.gz file, but"),
        ("empty", "found an empty file"),
    ],
)
def test_an_unusable_file_is_one_sentence(tmp_path, how, message):
    path = broken(tmp_path / "a.nii.gz", how)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_volume(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.nii", "no such file"), ("a.dcm", "found the ending '.dcm'; convert it"), ("a.mgz", "the header of a .mgz")],
)
def test_a_wrong_path_is_one_sentence(tmp_path, name, message):
    for other in ("a.dcm", "a.mgz"):
        (tmp_path / other).write_bytes(b"hello world")
    with pytest.raises(DataError, match=re.escape(message)):
        read_volume(tmp_path / name)


def test_intensities_are_no_labels(tmp_path):
    with pytest.raises(DataError, match="expected whole numbers as labels, found 0"):
        read_labels(write_nifti(tmp_path / "a.nii", DATA))


def test_nibabel_is_named_where_it_is_missing(tmp_path, monkeypatch):
    path = write_nifti(tmp_path / "a.nii", DATA)
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(MissingExtra, match=re.escape('pip install "visionzoo[medical]"')):
        read_volume(path)
