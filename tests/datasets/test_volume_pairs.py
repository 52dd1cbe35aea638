"""Pairs of images: grids, label maps, masks and landmarks, and what is refused."""

import pickle
import re

import numpy as np
import pytest
from nifti_files import AFFINE, write_nifti

from visionzoo.datasets import volume_files
from visionzoo.datasets.transforms import volumes
from visionzoo.datasets.transforms.volumes import (
    CropOrPadVolumes,
    LoadVolumePair,
    MatchHistograms,
    NormalizeVolumes,
    ResampleVolumes,
    ResizeVolumes,
    start_of_pair,
)
from visionzoo.datasets.volume_pairs import KeptVolumes, name_of_pair, read_pair
from visionzoo.errors import DataError
from visionzoo.ops.intensities import match_histogram
from visionzoo.structures.volume_grids import moved_points

RNG = np.random.RandomState(0)
SHAPE = (9, 8, 7)


def files_of(folder, **values):
    """Write arrays, or pairs of an array and an affine, and return their paths by column."""
    files = {}
    for key, value in values.items():
        data, affine = value if isinstance(value, tuple) else (value, AFFINE)
        files[key] = write_nifti(folder / f"{key}.nii.gz", data, affine)
    return files


def read(folder, **values):
    notes = []
    return read_pair(files_of(folder, **values), "a-b", notes.append), notes


def test_labels_and_mask_follow_their_images(tmp_path):
    flipped = AFFINE @ np.diag([-1, 1, 1, 1.0])
    flipped[:3, 3] = (AFFINE @ [SHAPE[0] - 1, 0, 0, 1])[:3]
    image, labels = RNG.rand(*SHAPE), RNG.randint(0, 4, SHAPE).astype(np.float64)
    pair, notes = read(
        tmp_path,
        fixed=image,
        moving=(image[::-1], flipped),
        fixed_labels=labels,
        labels=labels,  # on another grid than the moving image
        fixed_mask=(image > 0.5).astype(np.uint8),
    )
    assert np.abs(pair.moving_on_fixed - image).max() < 1e-5
    assert np.array_equal(pair.labels_on_fixed, labels)
    assert np.array_equal(pair.labels, labels[::-1])
    assert np.array_equal(pair.mask, image > 0.5)
    assert len(notes) == 2  # of the moving image and of its labels


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"moving": np.ones((9, 8)) * np.arange(8)}, "a-b: pair: expected a moving image of 3 axes like the fixed one"),
        (
            {"moving": (RNG.rand(9, 8, 6), None)},
            "images of one shape, or an affine in both files, found 9x8x7",
        ),
        (
            {"moving": RNG.rand(*SHAPE), "fixed_mask": np.eye(9)[:, :8, None] * np.zeros(7)},
            "fixed mask: expected voxels",
        ),
        ({"moving": RNG.rand(*SHAPE), "labels": RNG.rand(*SHAPE)}, "expected whole numbers as labels"),
    ],
)
def test_a_pair_that_does_not_fit_is_one_sentence(tmp_path, values, message):
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read(tmp_path, fixed=RNG.rand(*SHAPE), **values)
    assert "\n" not in str(caught.value)


def test_images_that_do_not_overlap_after_centring_are_refused(tmp_path):
    content, far = np.zeros((40, 8, 7)), AFFINE.copy()
    content[:3] = 1  # only at the end that the centred fixed image does not reach
    far[:3, 3] += 1000
    with pytest.raises(DataError, match="a-b: expected images that overlap, found the value 0 of the moving image"):
        read(tmp_path, fixed=RNG.rand(*SHAPE), moving=(content, far))


def test_files_of_several_pairs_are_read_once(tmp_path, monkeypatch):
    labels = RNG.randint(0, 4, SHAPE).astype(np.float64)
    files = files_of(tmp_path, fixed=RNG.rand(*SHAPE), moving=RNG.rand(*SHAPE), labels=labels, fixed_labels=labels)
    read, opened = [], volume_files._read
    monkeypatch.setattr(volume_files, "_read", lambda path, note: read.append(path.name) or opened(path, note))
    step = LoadVolumePair()
    first = step({"files": files})
    first["gt_fixed_labels"][:] = 9  # a later step may change its arrays
    turned = step({"files": {"fixed": files["moving"], "moving": files["fixed"], "fixed_labels": files["labels"]}})
    assert sorted(read) == sorted(path.name for path in files.values())
    assert np.array_equal(turned["gt_fixed_labels"], labels)
    assert np.array_equal(turned["img"][1], first["img"][0])
    write_nifti(files["fixed"], 2 + 3 * RNG.rand(*SHAPE))
    assert step({"files": files})["img"][0].min() > 1
    assert read.count("fixed.nii.gz") == 2
    for other in (pickle.loads(pickle.dumps(step)), LoadVolumePair(cache_mb=0)):
        other({"files": files})
    assert read.count("fixed.nii.gz") == 4


def test_notes_of_many_pairs_are_not_all_printed(tmp_path, monkeypatch):
    files, said = files_of(tmp_path, fixed=RNG.rand(*SHAPE), moving=(RNG.rand(*SHAPE), None)), []
    monkeypatch.setattr(volumes, "say_notes", lambda name, notes: said.append((name, *notes)))
    step = LoadVolumePair()
    for number in range(20):
        step({"files": files, "img_path": f"pair {number}"})
    assert [name for name, *_ in said] == [f"pair {number}" for number in range(6)]
    assert "no affine" in said[0][1]
    assert said[-1][1:] == ("further notes about pairs are not shown",)


def test_notes_of_a_file_that_is_kept_are_repeated(tmp_path):
    files = files_of(tmp_path, fixed=RNG.rand(*SHAPE), moving=(RNG.rand(*SHAPE), None))
    kept, found = KeptVolumes(10**6), []
    for _ in range(2):
        notes = []
        read_pair(files, "a-b", notes.append, kept)
        found.append(notes)
    assert found[0] == found[1]
    assert "states no affine" in found[0][0]


def test_names_of_pairs_in_memory_and_in_equal_files():
    assert name_of_pair({"fixed": np.eye(3), "moving": "a.nii"}) == "pair"
    assert name_of_pair({"fixed": "a.nii", "moving": "./a.nii"}) == "a-a"


@pytest.mark.parametrize("step", [CropOrPadVolumes((6, 12)), ResizeVolumes((5, 16))])
def test_a_change_of_the_grid_moves_everything_together(step):
    labels = np.zeros((9, 14), int)
    labels[3:6, 5:9] = 7
    pair = read_pair(
        {
            "fixed": labels + RNG.rand(9, 14),
            "moving": RNG.rand(9, 14),
            "fixed_labels": labels,
            "labels": labels,
            "fixed_points": np.array([[4.0, 6.5]]),
            "points": np.array([[4.0, 6.5]]),
        }
    )
    changed = step(start_of_pair(pair))
    assert [image.shape for image in changed["img"]] == [(*step.size, 1)] * 2
    assert changed["img_shape"] == step.size == changed["gt_fixed_labels"].shape
    centre = np.argwhere(changed["gt_fixed_labels"] == 7).mean(axis=0)
    assert np.abs(centre - changed["gt_fixed_points"][0]).max() <= 0.5
    place = moved_points(np.array(changed["grid"]), changed["gt_moving_points"][0])
    assert np.abs(place - [4, 6.5]).max() < 1e-9


def test_voxels_of_a_stated_length_keep_the_extent():
    pair = {**start_of_pair(read_pair({"fixed": RNG.rand(9, 14), "moving": RNG.rand(9, 14)})), "spacing": (1.0, 1.5)}
    changed = ResampleVolumes(3.0)(pair)
    assert changed["img_shape"] == (3, 7)
    assert np.allclose(changed["spacing"], 3.0)
    assert ResampleVolumes(3.0)(changed) is changed


def test_the_moving_image_takes_the_intensities_of_the_fixed_one():
    fixed, moving = np.maximum(RNG.rand(9, 14) - 0.4, 0), np.maximum(RNG.rand(9, 14) ** 3 - 0.2, 0)
    sample = MatchHistograms()(start_of_pair(read_pair({"fixed": fixed, "moving": moving})))
    matched, inside = sample["img"][1][..., 0], moving > 0
    assert (matched[~inside] == 0).all()
    assert np.array_equal(np.argsort(matched[inside]), np.argsort(moving[inside]))
    shares = np.linspace(0, 1, 11)
    expected = np.quantile(fixed[fixed > 0], shares)
    assert np.abs(np.quantile(matched[inside], shares) - expected).max() < 0.03
    for image, reference in ((np.arange(3.0), np.zeros(3)), (np.ones(3), np.arange(3.0))):
        assert np.array_equal(match_histogram(image, reference), image)


def test_normalised_images_are_kept_for_measures():
    sample = NormalizeVolumes(keep=True)(start_of_pair(read_pair({"fixed": np.eye(6), "moving": np.eye(6)[::-1]})))
    assert sample["gt_moving"].shape == (1, 6, 6)
    assert np.array_equal(sample["gt_moving"][0], sample["img"][1][..., 0])


def test_standardised_images_and_the_scaled_ones_for_measures():
    ramp = np.arange(30.0).reshape(5, 6)
    sample = NormalizeVolumes(keep=True, standardise=True)(
        start_of_pair(read_pair({"fixed": ramp, "moving": ramp[::-1]}))
    )
    assert [round(float(image.mean()), 5) for image in sample["img"]] == [0, 0]
    assert [round(float(image.std()), 5) for image in sample["img"]] == [1, 1]
    assert (sample["gt_fixed"].min(), sample["gt_fixed"].max()) == (0, 1)


def test_landmarks_without_a_partner_are_stated():
    images = {"fixed": np.eye(4), "moving": np.eye(4)[::-1]}
    with pytest.raises(DataError, match="found 1 in the fixed and 2 in the moving image; list the partner"):
        read_pair({**images, "fixed_points": np.zeros((1, 2)), "points": np.zeros((2, 2))})
    notes = []
    read_pair({**images, "points": np.zeros((2, 2))}, note=notes.append)
    assert notes == ["the fixed image has no landmarks, so their error is not measured"]
    read_pair({**images, "fixed_labels": np.eye(4, dtype=int)}, note=notes.append)
    assert notes[1:] == ["the moving image has no label map, so Dice is not measured"]


def test_landmarks_outside_their_image_are_counted(tmp_path):
    images = {"fixed": np.eye(4), "moving": np.eye(4)[::-1]}
    inside, notes = np.array([[-0.5, 3.4], [0, 0], [3, 1]]), []
    (tmp_path / "p.csv").write_text("-0.6,0\n1,1\n0,3.6\n")
    read_pair({**images, "fixed_points": inside, "points": tmp_path / "p.csv"}, note=notes.append)
    assert notes == ["p.csv: 2 of 3 points outside the moving image; give voxel indices"]
    read_pair({**images, "fixed_points": inside + 9, "points": inside}, note=notes.append)
    assert notes[1] == "landmarks of the fixed image: 3 of 3 points outside the fixed image; give voxel indices"
    with pytest.raises(DataError, match=r"of the moving image: expected lines of 2 .* found an array \(1, 3\)"):
        read_pair({**images, "points": np.zeros((1, 3))})
