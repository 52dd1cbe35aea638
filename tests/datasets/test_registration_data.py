"""Data set of pairs to register: pairings, lists, and the drawn brains."""

import re

import numpy as np
import pytest
from nifti_files import nibabel

from visionzoo.datasets.registration import RegistrationPairs, read_pair_list
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.tiny.volumes import AFFINE, draw_subject, draw_template
from visionzoo.datasets.transforms.packing import PackTaskInputs
from visionzoo.datasets.volume_pairs import read_pair
from visionzoo.errors import ConfigError, DataError
from visionzoo.registry import DATASETS, TRANSFORMS
from visionzoo.structures.volume_grids import sample, voxel_positions

IXI = "tiny://ixi?subjects=4&size=16"
OASIS = "tiny://oasis?subjects=4&size=16"
T1, T2 = "IXI-T1/*-T1.nii.gz", "IXI-T2/*-T2.nii.gz"
STEPS = ("LoadVolumePair", "NormalizeVolumes", "PackTaskInputs")


def pairs_of(root=IXI, *patterns, **options):
    dataset = RegistrationPairs(root, *patterns, serialize_data=False, **options)
    return [dataset.get_data_info(index)["files"] for index in range(len(dataset))]


def subjects_of(pairs, length=6):
    return [tuple(files[key].rsplit("/", 1)[1][:length] for key in ("fixed", "moving")) for files in pairs]


@pytest.mark.parametrize(
    ("patterns", "pairing", "expected"),
    [
        ((T1,), "all", 12),
        ((T1, T2), "all", 12),
        ((T1,), "next", [("IXI002", "IXI003"), ("IXI003", "IXI004"), ("IXI004", "IXI005"), ("IXI005", "IXI002")]),
        ((T1, T2), "same", [(f"IXI00{at}", f"IXI00{at}") for at in (2, 3, 4, 5)]),
        ((T1, T2), "sorted", [(f"IXI00{at}", f"IXI00{at}") for at in (2, 3, 4, 5)]),
        (("IXI-T1/IXI003-Tiny-0003-T1.nii.gz", T2), "atlas", [("IXI003", f"IXI00{at}") for at in (2, 3, 4, 5)]),
    ],
)
def test_pairings(patterns, pairing, expected):
    found = subjects_of(pairs_of(IXI, *patterns, pairing=pairing))
    assert len(found) == expected if isinstance(expected, int) else found == expected
    assert len(set(found)) == len(found)


def test_label_maps_belong_to_their_subjects():
    for files in pairs_of(OASIS, "*/aligned_norm.nii.gz", labels="*/aligned_seg4.nii.gz"):
        assert files["fixed"].rsplit("/", 1)[0] == files["fixed_labels"].rsplit("/", 1)[0]
        assert files["moving"].rsplit("/", 1)[0] == files["labels"].rsplit("/", 1)[0]


def test_training_and_validation_share_no_subject():
    train, val = (pairs_of(IXI, T1, **{key: 2}) for key in ("not_every", "every"))
    subjects = [{subject for pair in subjects_of(pairs) for subject in pair} for pairs in (train, val)]
    assert [len(each) for each in subjects] == [2, 2]
    assert not subjects[0] & subjects[1]


@pytest.mark.parametrize(
    "text",
    [
        "{a} {b}\n\n# comment\n{b} {a}\n",
        "fixed,moving,labels,age\n{a},{b},{c},70\n{b},{a},,71\n",
        "moving;fixed\n{b};{a}\n{a};{b}\n",
        "'{a}' \"{b}\"\n{b}\t'{a}'\n",
    ],
)
def test_lists_of_pairs(tmp_path, text):
    for name in "abc":
        np.save(tmp_path / f"{name}.npy", np.eye(4))
    (tmp_path / "pairs.csv").write_text(text.format(a="a.npy", b="b.npy", c="c.npy"))
    found = subjects_of(pairs_of(str(tmp_path), pairs="pairs.csv"), 1)
    assert found == [("a", "b"), ("b", "a")]


def test_quoted_paths_may_contain_spaces_and_separators(tmp_path):
    (tmp_path / "p.txt").write_text("\"scan, day 1.nii\"  'scan day 2.nii'\no'brien.nii 'it is.nii'\n")
    first, second = read_pair_list(tmp_path / "p.txt", tmp_path)
    assert first == {"fixed": str(tmp_path / "scan, day 1.nii"), "moving": str(tmp_path / "scan day 2.nii")}
    assert second == {"fixed": str(tmp_path / "o'brien.nii"), "moving": str(tmp_path / "it is.nii")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scan 1.npy scan 2.npy\n", "expected two paths, in quotes if they contain spaces, found 'scan 1.npy scan"),
        ("a.npy\n", "line 1: pair: expected two paths, in quotes if they contain spaces, found 'a.npy'"),
        ("fixed,moving\na.npy,\n", "line 2: moving: expected a path, found nothing"),
        ("fixed,target\na.npy,b.npy\n", "line 1: expected a header with the columns fixed, moving"),
        ("a.npy z.npy\n", "found 1 missing (z.npy)"),
        ("", "found no pair"),
    ],
)
def test_errors_of_a_list(tmp_path, text, message):
    np.save(tmp_path / "a.npy", np.eye(4))
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(DataError, match=re.escape(message)):
        pairs_of(str(tmp_path), pairs="pairs.csv")


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({}, ConfigError, "found neither; set fixed or pairs"),
        ({"fixed": "*/*.nii"}, ConfigError, "expected one * for the subject, found 2"),
        ({"fixed": "none/*.nii"}, DataError, "expected fixed images none/*.nii, found none"),
        ({"fixed": T1, "pairing": "atlas"}, DataError, "expected one fixed image for the pairing 'atlas', found 4"),
        ({"fixed": T1, "moving": "IXI-T2/*2-T2.nii.gz", "pairing": "sorted"}, DataError, "found 1; remove images"),
    ],
)
def test_errors_of_patterns(options, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        pairs_of(IXI, **options)


def test_a_pipeline_packs_both_images_with_their_labels():
    options = dict(fixed=T1, moving=T2, labels="labels/*-labels.nii.gz", pairing="same")
    steps = [TRANSFORMS.build(dict(type=name)) for name in STEPS]
    packed = DATASETS.build(dict(type="RegistrationPairs", data_root=IXI, pipeline=steps, **options))[0]
    assert packed["inputs"].shape == (2, 1, 16, 16, 24)
    assert (float(packed["inputs"].min()), float(packed["inputs"].max())) == (0, 1)
    sample = packed["data_samples"]
    assert sample.group_size == 2
    assert sample.gt_moving_labels.shape == (16, 16, 24)
    assert sample.spacing == pytest.approx(tuple(np.linalg.norm(AFFINE[:3, :3], axis=0)), abs=1e-6)


def test_a_drawn_subject_is_the_template_warped_by_the_known_field():
    t1, t2, labels, field = draw_subject(0, 1, (16, 16, 24))
    classes, _ = draw_template(0, (16, 16, 24))
    assert np.array_equal(labels, np.maximum(sample(classes, voxel_positions(field), nearest=True) - 1, 0))
    assert np.corrcoef(t1[labels > 0], t2[labels > 0])[0, 1] < -0.5  # the opposite contrast
    root = resolve_data_root(IXI)
    stored = nibabel.load(root / "IXI-T1" / "IXI002-Tiny-0002-T1.nii.gz")
    assert np.abs(np.asanyarray(stored.dataobj) - 1000 * t1).max() <= 0.5
    assert np.abs(stored.affine - AFFINE).max() < 1e-5


def test_drawn_subjects_with_an_affine_part():
    shape = (16, 16, 24)
    *_, field = draw_subject(0, 1, shape)
    *_, turned = draw_subject(0, 1, shape, turn=10)
    affine = (turned - field).reshape(3, -1)
    places = np.concatenate([np.indices(shape).reshape(3, -1), np.ones((1, np.prod(shape)))])
    matrix, _, _, _ = np.linalg.lstsq(places.T, affine.T, rcond=None)
    assert np.abs(places.T @ matrix - affine.T).max() < 1e-9
    assert 0 < np.abs(matrix[:3]).max() < np.radians(10)


def test_drawn_slices_have_all_labels():
    (pair, *_) = pairs_of("tiny://oasis_2d?subjects=2&size=32", "*.npz")
    both = read_pair(pair)
    assert both.fixed.shape == (32, 48)
    assert set(np.unique(both.fixed_labels)) == set(range(6))


def test_packing_keeps_the_pair_unchanged():
    pair = read_pair({"fixed": np.eye(4), "moving": np.eye(4)[::-1]})
    packed = PackTaskInputs()({"img": [np.zeros((4, 4, 1))] * 2, "gt_pair": pair})
    assert packed["data_samples"].gt_pair is pair
