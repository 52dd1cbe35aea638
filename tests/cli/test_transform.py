"""``visionzoo transform``: written fields and affine maps on files."""

import importlib.util
import json

import numpy as np
import pytest
from scipy import ndimage
from transform_case import (
    AFFINE,
    CHAINS,
    INNER,
    MOVING,
    SHAPE,
    STORED,
    affine_map,
    moving_image,
    nibabel,
    read_array,
    smooth_field,
    with_simpleitk,
    write_case,
)

from visionzoo.cli.transform import main
from visionzoo.datasets.affine_files import matrix_text, read_affine, tfm_text
from visionzoo.datasets.field_files import array_bytes, field_bytes
from visionzoo.errors import ZooError
from visionzoo.structures.volumes import Volume


@pytest.fixture
def case(tmp_path):
    return write_case(tmp_path)


def options(case, names):
    words = []
    for name in names:
        words += ["--affine" if name.endswith((".tfm", ".txt")) else "--field", str(case / name)]
    return words


def result_of(case, *words, name="moving.nii.gz"):
    """Run the command and return the values of a written file."""
    assert main([*map(str, words), "-o", str(case / "out"), "--overwrite", "-q"]) == 0
    return read_array(case / "out" / name)


# --- SimpleITK ---


@pytest.mark.parametrize("kind", CHAINS)
def test_the_result_is_simpleitks(case, kind):
    found = result_of(case, *options(case, CHAINS[kind]), case / "moving.nii.gz")
    assert np.abs(found - np.load(STORED)[kind])[INNER].max() < 1e-5


@pytest.mark.skipif(importlib.util.find_spec("SimpleITK") is None, reason="SimpleITK is not installed")
@pytest.mark.parametrize("kind", CHAINS)
def test_the_stored_result_is_simpleitks(case, kind):
    assert np.abs(with_simpleitk(case, CHAINS[kind]) - np.load(STORED)[kind])[INNER].max() < 1e-5


def test_the_order_of_the_chain_counts(case):
    forward = result_of(case, *options(case, CHAINS["chain"]), case / "moving.nii.gz")
    backward = result_of(case, *options(case, CHAINS["chain"][::-1]), case / "moving.nii.gz")
    assert np.abs(forward - backward)[INNER].max() > 0.01


# --- formats, inverse, grids ---


@pytest.mark.parametrize("form", ["voxel", "l2r", "npz"])
def test_every_format_of_a_field_gives_one_result(case, form):
    fixed, field = Volume(np.zeros(SHAPE, np.float32), AFFINE), smooth_field(0)
    name = "f.npz" if form == "npz" else "f.nii.gz"
    (case / name).write_bytes(array_bytes(field, fixed) if form == "npz" else field_bytes(field, fixed, form))
    found = result_of(case, "--field", case / name, case / "moving.nii.gz")
    expected = result_of(case, "--field", case / "first.nii.gz", case / "moving.nii.gz")
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("ending", ["tfm", "txt"])
def test_an_affine_map_and_its_inverse(case, ending):
    (case / f"a.{ending}").write_text((tfm_text if ending == "tfm" else matrix_text)(affine_map()))
    words = ["--affine", case / f"a.{ending}", case / "moving.nii.gz"]
    found = result_of(case, *words)
    in_voxels = np.linalg.inv(MOVING) @ np.vstack([affine_map(), [0, 0, 0, 1]]) @ MOVING
    expected = ndimage.affine_transform(moving_image(), in_voxels[:3, :3], in_voxels[:3, 3], order=1)
    assert np.abs(found - expected)[INNER].max() < 1e-5
    (case / "there").mkdir()
    (case / "out" / "moving.nii.gz").rename(case / "there" / "moving.nii.gz")
    back = result_of(case, "--affine", case / f"a.{ending}", "--inverse", case / "there" / "moving.nii.gz")
    assert np.abs(back - moving_image())[INNER].max() < 0.2


@pytest.mark.parametrize("is_written", [False, True])
def test_the_inverse_of_a_chain_returns_to_the_start(case, is_written):
    chain = CHAINS["chain"]
    if is_written:  # a wrong inverse field, to show that the written one is used
        (case / "fields").mkdir()
        (case / "inverse_fields").mkdir()
        (case / "first.nii.gz").rename(case / "fields" / "first.nii.gz")
        shift = np.full((3, *SHAPE), 3, np.float32)
        content = field_bytes(shift, Volume(np.zeros(SHAPE, np.float32), AFFINE))
        (case / "inverse_fields" / "first.nii.gz").write_bytes(content)
        chain = ("fields/first.nii.gz", *chain[1:])
    there = case / "there.nii.gz"
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")).astype(np.float32) + 0.3
    nibabel.save(nibabel.Nifti1Image(places[0], AFFINE), there)
    forward = result_of(case, *options(case, chain), there, name="there.nii.gz")
    nibabel.save(nibabel.Nifti1Image(forward, AFFINE), there)
    back = result_of(case, *options(case, chain), "--inverse", there, name="there.nii.gz")
    error = np.abs(back - places[0])[(slice(5, -5),) * 3].max()
    assert error > 1 if is_written else error < 0.15


def test_without_a_reference_the_result_has_the_header_of_the_field(case):
    result_of(case, "--field", case / "first.nii.gz", case / "moving.nii.gz")
    image = nibabel.load(case / "out" / "moving.nii.gz")
    assert image.shape == SHAPE
    assert np.abs(image.affine - AFFINE).max() < 1e-5
    assert image.header["intent_code"] == 0


def test_a_reference_has_another_grid(case):
    finer = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    nibabel.save(nibabel.Nifti1Image(np.indices((24, 26, 20))[0].astype(np.int16), finer), case / "r.nii")
    words = ["--field", case / "first.nii.gz", case / "moving.nii.gz"]
    found = result_of(case, *words, "--reference", case / "r.nii")
    coarse = result_of(case, *words)
    assert found.shape == (24, 26, 20)
    assert np.abs(found[::2, ::2, ::2] - coarse[:12, :13, :10]).max() < 1e-4


def test_a_field_with_its_own_affine_map_is_a_warning(case, capsys):
    for folder, name in (("fields", "first.nii.gz"), ("affines", "affine.tfm")):
        (case / folder).mkdir()
        (case / name).rename(case / folder / f"a-b.{name.partition('.')[2]}")
    words = options(case, ["fields/a-b.nii.gz", "affines/a-b.tfm"])
    assert main([*words, str(case / "moving.nii.gz"), "-o", str(case / "o")]) == 0
    assert "affines/a-b.tfm, which is now applied twice; leave one out" in capsys.readouterr().err


# --- labels ---


@pytest.mark.parametrize(
    ("given", "used"), [("auto", "nearest"), ("nearest", "nearest"), ("onehot", "onehot"), ("linear", "linear")]
)
def test_labels_keep_their_values_unless_linear_is_given(case, given, used, capsys):
    labels = 7 * (moving_image() > 2).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(labels.astype(np.float32), MOVING), case / "seg.nii.gz")
    words = ["--field", str(case / "first.nii.gz"), str(case / "seg.nii.gz"), "--interp", given, "-o", str(case / "o")]
    assert main(words) == 0
    assert f"seg.nii.gz ({used})" in capsys.readouterr().err
    values = set(np.unique(read_array(case / "o" / "seg.nii.gz")).tolist())
    assert values == {0, 7} if used != "linear" else len(values) > 2


def test_an_integer_image_is_no_label_map(case, capsys):
    image = (1000 * moving_image() + np.random.RandomState(0).normal(0, 20, moving_image().shape)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(image, MOVING), case / "t1.nii.gz")
    assert main(["--field", str(case / "first.nii.gz"), str(case / "t1.nii.gz"), "-o", str(case / "o"), "--json"]) == 0
    output = capsys.readouterr()
    assert "t1.nii.gz (linear)" in output.err
    assert json.loads(output.out)["inputs"] == 1


def test_a_slice_and_its_labels_in_one_file(tmp_path):
    slice_, labels = np.random.RandomState(0).rand(12, 15), np.eye(12, 15, dtype=np.uint8)
    np.savez(tmp_path / "s.npz", vol=slice_, seg=labels)
    shift = np.zeros((2, 12, 15), np.float32)
    shift[1] = 2
    (tmp_path / "f.npz").write_bytes(array_bytes(shift, Volume(slice_)))
    assert main(["--field", str(tmp_path / "f.npz"), str(tmp_path / "s.npz"), "-o", str(tmp_path / "o"), "-q"]) == 0
    assert np.allclose(np.load(tmp_path / "o" / "s.npz")["vol"][:, :-2], slice_[:, 2:])
    assert np.array_equal(np.load(tmp_path / "o" / "s_seg.npz")["seg"][:, :-2], labels[:, 2:])


# --- errors ---


def test_a_field_without_an_affine_needs_the_shape_of_the_file(case, capsys):
    (case / "f.npz").write_bytes(array_bytes(smooth_field(0), Volume(np.zeros(SHAPE, np.float32))))
    np.save(case / "same.npy", moving_image()[:14, :16, :12])
    files = [str(case / name) for name in ("moving.nii.gz", "same.npy")]
    assert main(["--field", str(case / "f.npz"), *files, "-o", str(case / "o")]) == 1
    error = capsys.readouterr().err
    assert "moving.nii.gz: file: expected the shape of 14x16x12, no affine, or an affine in both files" in error
    assert (case / "o" / "same.npy").is_file()


def test_one_bad_file_does_not_stop_the_others(case, capsys):
    far = MOVING.copy()
    far[:3, 3] += 500
    nibabel.save(nibabel.Nifti1Image(moving_image(), far), case / "far.nii.gz")
    files = [str(case / name) for name in ("missing.nii.gz", "far.nii.gz", "moving.nii.gz")]
    assert main(["--field", str(case / "first.nii.gz"), *files, "-o", str(case / "o")]) == 1
    error = capsys.readouterr().err
    assert "missing.nii.gz: expected a volume, found no such file" in error
    assert "far.nii.gz: space: expected a file in the space that the transform leads to" in error
    assert "1 of 3 files done" in error
    records = json.loads((case / "o" / "transform.json").read_text())["files"]
    assert [set(record) for record in records] == [{"input", "error"}] * 2 + [{"input", "written", "interpolation"}]


def test_results_of_equal_names_are_both_kept(case):
    (case / "b").mkdir()
    (case / "b" / "moving.nii.gz").write_bytes((case / "moving.nii.gz").read_bytes())
    files = [str(case / "moving.nii.gz"), str(case / "b" / "moving.nii.gz")]
    assert main(["--field", str(case / "first.nii.gz"), *files, "-o", str(case / "o"), "-q"]) == 0
    assert sorted(path.name for path in (case / "o").iterdir() if path.suffix == ".gz") == [
        "moving-2.nii.gz",
        "moving.nii.gz",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["moving.nii.gz"], "transform: expected --field or --affine, found neither"),
        (["--field", "moving.nii.gz", "moving.nii.gz"], "expected a displacement field"),
        (["--affine", "moving.nii.gz", "moving.nii.gz"], "expected an affine map in a .tfm or .txt file"),
        (
            ["--affine", "flat.txt", "moving.nii.gz"],
            "flat.txt: expected a map that can be inverted, found one with determinant 0; register again",
        ),
        (["--affine", "nan.txt", "moving.nii.gz"], "nan.txt: expected a map that can be inverted, found numbers"),
        (["--affine", "none.tfm", "moving.nii.gz"], "none.tfm: expected the file of an affine map, found none (in "),
        (["--affine", "words.txt", "moving.nii.gz"], "expected an affine map"),
        (["--field", "none.nii.gz", "moving.nii.gz"], "none.nii.gz: expected a volume, found no such file"),
    ],
)
def test_wrong_use_is_one_sentence(case, words, message, capsys, monkeypatch):
    monkeypatch.chdir(case)
    (case / "flat.txt").write_text("1 0 0 0\n1 0 0 0\n0 0 1 0\n0 0 0 1\n")
    (case / "nan.txt").write_text("1 0 0 nan\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    (case / "words.txt").write_text("one two\n")
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (tfm_text(affine_map()).replace("AffineTransform", "BSplineTransform"), "BSplineTransform"),
        (tfm_text(affine_map()) + "#Transform 1\nTransform: AffineTransform_double_3_3\n", "2 transforms"),
    ],
)
def test_other_transforms_of_itk_are_refused(tmp_path, text, found):
    (tmp_path / "a.tfm").write_text(text)
    with pytest.raises(ZooError, match=found):
        read_affine(tmp_path / "a.tfm")


def test_a_centre_of_rotation_is_read(tmp_path):
    text = tfm_text(np.array([[0.0, -1, 0], [1, 0, 0]])).replace("FixedParameters: 0 0", "FixedParameters: -2 -3")
    (tmp_path / "a.tfm").write_text(text)
    assert np.allclose(read_affine(tmp_path / "a.tfm") @ [2, 3, 1], [2, 3])
