"""``visionzoo register``: pairs, files, messages and Learn2Reg's submission."""

import csv
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from visionzoo.cli import infer, register, transform
from visionzoo.datasets import findings
from visionzoo.datasets.affine_files import read_affine
from visionzoo.datasets.field_files import read_field
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.volume_files import read_labels, read_volume
from visionzoo.metrics.registration import dice_of_labels, labels_of, log_spread_l2r
from visionzoo.ops.warp import jacobian_determinant
from visionzoo.structures.volume_grids import voxel_positions

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed (extra medical)")

FAST = ["--device", "cpu", "--cfg-options", "model.head.schedule=shortest"]


@pytest.fixture(autouse=True)
def new_notes(monkeypatch):
    """Print notes as a new process does: one process prints each note about a file once."""
    monkeypatch.setattr(findings, "_printed", set())


@pytest.fixture(scope="module")
def brains(tmp_path_factory):
    """Return a folder with ``a``, ``b`` and ``c``: images, and label maps ``a_seg`` and so on."""
    folder = tmp_path_factory.mktemp("brains")
    root = resolve_data_root("tiny://oasis?subjects=3&size=24&seed=0")
    for name, subject in zip("abc", sorted(root.iterdir()), strict=True):
        shutil.copy(subject / "aligned_norm.nii.gz", folder / f"{name}.nii.gz")
        shutil.copy(subject / "aligned_seg4.nii.gz", folder / f"{name}_seg.nii.gz")
    return folder


def words_of(brains, fixed="a", moving="b", labels=True):
    words = ["--fixed", str(brains / f"{fixed}.nii.gz"), "--moving", str(brains / f"{moving}.nii.gz")]
    if labels:
        words += ["--labels", str(brains / f"{moving}_seg.nii.gz")]
        words += ["--fixed-labels", str(brains / f"{fixed}_seg.nii.gz")]
    return words


@pytest.fixture(scope="module")
def run(brains, tmp_path_factory):
    """Return the folder of one direct registration with two further files."""
    out = tmp_path_factory.mktemp("run") / "out"
    also = ["--also", *(str(brains / name) for name in ("b.nii.gz", "b_seg.nii.gz", "b.nii.gz"))]
    assert register.main([*words_of(brains), *also, "-o", str(out), "-q", *FAST]) == 0
    return out


def lines(out):
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def list_of(brains, path, pairs):
    """Write a CSV file of pairs with label maps."""
    rows = [f"{a}.nii.gz,{b}.nii.gz,{a}_seg.nii.gz,{b}_seg.nii.gz" for a, b in pairs]
    path.write_text("\n".join(["fixed,moving,fixed_labels,labels", *rows]))
    for name in brains.iterdir():
        shutil.copy(name, path.parent)
    return path


# --- files ---


def test_every_file_is_written_and_named_in_the_line(run):
    (line,) = lines(run)
    result = line["result"]
    for key in ("warped", "labels", "field", "inverse_field", "affine", "affine_matrix"):
        assert (run / result[key]).is_file(), key
    assert result["also"] == ["also/a-b/b.nii.gz", "also/a-b/b_seg.nii.gz", "also/a-b/b-2.nii.gz"]
    assert (run / "vis" / "a-b.png").is_file()
    assert result["dice"] > result["dice_before"] + 0.05
    (row,) = csv.DictReader(io.StringIO((run / "predictions.csv").read_text()))
    assert float(row["dice"]) == result["dice"]
    assert json.loads((run / "run.json").read_text())["weights"] == "none (the model has no parameters)"


def test_further_files_are_warped_like_the_moving_image_and_its_labels(run):
    for name, folder in (("b", "warped"), ("b_seg", "labels")):
        also, own = (nibabel.load(run / path) for path in (f"also/a-b/{name}.nii.gz", f"{folder}/a-b.nii.gz"))
        assert np.abs(also.get_fdata() - own.get_fdata()).max() < 1e-6
        assert also.get_data_dtype() == own.get_data_dtype()


def test_the_header_is_that_of_the_fixed_image(brains, run):
    fixed, warped = nibabel.load(brains / "a.nii.gz"), nibabel.load(run / "warped" / "a-b.nii.gz")
    assert np.array_equal(fixed.affine, warped.affine)
    assert fixed.header["descrip"] == warped.header["descrip"]
    assert fixed.header["sform_code"] == warped.header["sform_code"]


def test_transform_repeats_the_registration(brains, run, tmp_path):
    files = [str(brains / name) for name in ("b.nii.gz", "b_seg.nii.gz")]
    field = str(run / "fields" / "a-b.nii.gz")
    assert transform.main(["--field", field, *files, "-o", str(tmp_path / "t"), "-q"]) == 0
    for name, folder in (("b", "warped"), ("b_seg", "labels")):
        found, own = read_volume(tmp_path / "t" / f"{name}.nii.gz"), read_volume(run / folder / "a-b.nii.gz")
        assert np.abs(found.data - own.data).max() < 1e-5


def test_the_inverse_field_undoes_the_field(run):
    field, back = (read_field(run / folder / "a-b.nii.gz")[0] for folder in ("fields", "inverse_fields"))
    places = voxel_positions(back)
    error = back + np.stack([ndimage.map_coordinates(part, places, order=1, mode="nearest") for part in field])
    assert np.abs(error)[:, 5:-5, 5:-5, 5:-5].mean() < 0.05


@pytest.fixture(scope="module")
def affine_run(brains, tmp_path_factory):
    """Return the folder of one affine registration."""
    out = tmp_path_factory.mktemp("affine") / "out"
    assert register.main([*words_of(brains, labels=False), "--method", "affine", "-o", str(out), "-q"]) == 0
    return out


@pytest.mark.parametrize("ending", ["tfm", "txt"])
def test_the_affine_method_writes_its_map(affine_run, ending):
    matrix = np.vstack([read_affine(affine_run / "affines" / f"a-b.{ending}"), [0, 0, 0, 1]])
    field, grid = read_field(affine_run / "fields" / "a-b.nii.gz")
    in_voxels = np.linalg.inv(grid.affine) @ matrix @ grid.affine
    places = voxel_positions(np.zeros_like(field))
    moved = np.tensordot(in_voxels[:3, :3], places, axes=1) + in_voxels[:3, 3].reshape(3, 1, 1, 1)
    assert np.abs(moved - places - field).max() < 1e-3
    assert np.abs(matrix - np.eye(4)).max() > 0.01


def test_infer_is_the_same_pipeline(brains, run, tmp_path):
    words = ["direct_registration", *words_of(brains), "-o", str(tmp_path / "o"), "-q", *FAST]
    assert infer.main(words) == 0
    for place in ("fields/a-b.nii.gz", "labels/a-b.nii.gz", "affines/a-b.tfm", "vis/a-b.png"):
        assert (tmp_path / "o" / place).read_bytes() == (run / place).read_bytes()


def test_grey_slices_need_no_option(tmp_path, capsys):
    image = ndimage.gaussian_filter(np.random.RandomState(0).rand(40, 52), 3)
    window = np.outer(np.hanning(40), np.hanning(52))  # dark at the borders, so that a shift moves the whole content
    image = (255 * window * (image - image.min()) / np.ptp(image)).astype(np.uint8)
    for name, pixels in (("f", image), ("m", np.roll(image, (2, -1), axis=(0, 1)))):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    words = ["--fixed", str(tmp_path / "f.png"), "--moving", str(tmp_path / "m.png"), "--method", "affine"]
    assert register.main([*words, "-o", str(tmp_path / "o")]) == 0
    assert "changed for these inputs: model.backbone.dims=2, model.head.dims=2" in capsys.readouterr().err
    assert lines(tmp_path / "o")[0]["result"]["ncc"] > 0.98
    assert Image.open(tmp_path / "o" / "warped" / "f-m.png").size == (52, 40)


# --- what is printed ---


def test_the_console_states_measures_labels_and_files(brains, tmp_path, capsys):
    also = ["--also", str(brains / "b_seg.nii.gz")]
    words = [*words_of(brains, moving="c"), *also, "--method", "affine", "-o", str(tmp_path / "o"), "--json"]
    assert register.main([word.replace("b_seg", "c_seg") for word in words]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == {"out": str(tmp_path / "o"), "inputs": 1, "failed": 0, "form": "exact"}
    assert "a-c: NCC 0." in output.err
    assert "(labels by the nearest voxel), 0 % of the voxels folded, c_seg.nii.gz nearest\n" in output.err
    assert "in the folders warped, labels, fields, inverse_fields, affines, also, vis\n" in output.err
    assert "untrained" not in output.err
    assert "random values" not in output.err


def test_notes_about_the_images_are_printed_and_stored(brains, tmp_path, capsys):
    image = nibabel.load(brains / "b.nii.gz")
    values, affine = image.get_fdata(dtype=np.float32), image.affine.copy()
    values[2:4, 3, 3] = np.nan
    flip = np.diag([1.0, -1, 1, 1])
    flip[1, 3] = values.shape[1] - 1
    other = nibabel.Nifti1Image(values[:, ::-1], affine @ flip)
    shifted = affine.copy()
    shifted[0, 3] += 9
    other.set_qform(shifted)
    nibabel.save(other, tmp_path / "odd.nii.gz")
    words = ["--fixed", str(brains / "a.nii.gz"), "--moving", str(tmp_path / "odd.nii.gz"), "--method", "affine"]
    assert register.main([*words, "-o", str(tmp_path / "o"), "--json"]) == 0
    output = capsys.readouterr()
    assert set(json.loads(output.out)) == {"out", "inputs", "failed", "form"}
    notes = lines(tmp_path / "o")[0]["result"]["notes"]
    for text in ("2 voxels are NaN and are read as 0", "sform and qform disagree", "is resampled to the grid"):
        assert text in output.err
        assert any(text in note for note in notes)
    assert "warning: a-odd: " in output.err


@pytest.mark.parametrize(
    ("words", "is_used"),
    [
        (["--method", "affine"], True),
        (["--model", "voxelmorph_oasis", "--tiny", "--weights", "none"], False),
        (["--model", "voxelmorph_oasis", "--tiny", "--weights", "none", "--instance-steps", "1"], True),
    ],
)
def test_a_mask_is_used_or_a_sentence_states_that_it_is_not(brains, affine_run, tmp_path, capsys, words, is_used):
    mask = (read_volume(brains / "a.nii.gz").data > 0.1).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(mask, nibabel.load(brains / "a.nii.gz").affine), tmp_path / "mask.nii.gz")
    words = [*words_of(brains, labels=False), "--fixed-mask", str(tmp_path / "mask.nii.gz"), *words]
    assert register.main([*words, "-o", str(tmp_path / "o"), "--vis", "none"]) == 0
    assert ("the fixed mask is not used by this model" in capsys.readouterr().err) is not is_used
    if is_used and "--method" in words:
        own, other = (lines(out)[0]["result"]["ncc"] for out in (tmp_path / "o", affine_run))
        assert own != other


# --- lists of pairs ---


def test_one_bad_pair_does_not_stop_the_others(brains, tmp_path, capsys):
    path = list_of(brains, tmp_path / "pairs.csv", ["ab", "cb"])
    path.write_text(path.read_text() + "\na.nii.gz,none.nii.gz,,\n")
    assert register.main(["--pairs", str(path), "--method", "affine", "-o", str(tmp_path / "o"), "--vis", "none"]) == 1
    error = capsys.readouterr().err
    assert "none.nii.gz: expected a volume, found no such file" in error
    assert "2 of 3 pairs done" in error
    assert [("error" in line) for line in lines(tmp_path / "o")] == [False, False, True]


def test_a_further_file_of_another_space_is_an_error_of_the_pair(brains, tmp_path, capsys):
    far = nibabel.load(brains / "b_seg.nii.gz")
    far.affine[:3, 3] += 400
    nibabel.save(nibabel.Nifti1Image(np.asarray(far.dataobj), far.affine), tmp_path / "far.nii.gz")
    words = [*words_of(brains, labels=False), "--method", "affine", "--also", str(tmp_path / "far.nii.gz")]
    assert register.main([*words, "-o", str(tmp_path / "o")]) == 1
    assert "--also far.nii.gz: space: expected a file in the space" in capsys.readouterr().err


def test_a_submission_of_learn2reg_has_the_scores_of_the_run(brains, tmp_path, capsys):
    path = list_of(brains, tmp_path / "pairs.csv", ["ab", "cb"])
    file = tmp_path / "submission.zip"
    words = ["--pairs", str(path), "--field-format", "l2r", "--submission", str(file), "--vis", "none", "--json"]
    assert register.main([*words, "-o", str(tmp_path / "o"), *FAST]) == 0
    summary = json.loads(capsys.readouterr().out)["submission"]
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["disp_a_b.nii.gz", "disp_c_b.nii.gz"]
        archive.extractall(tmp_path / "zip")
    literal = [_learn2reg(brains, tmp_path / "zip", *pair) for pair in ("ab", "cb")]
    results = [line["result"] for line in lines(tmp_path / "o")]
    assert summary["fields"] == 2
    assert summary["Dice"] == pytest.approx(np.mean([dice for dice, _ in literal]), abs=1e-6)
    assert summary["SDlogJ"] == pytest.approx(np.mean([spread for _, spread in literal]), abs=1e-6)
    for name, key in (("Dice", "dice"), ("HD95", "hd95"), ("SDlogJ", "sdlogj_l2r")):  # every label is in both maps
        assert summary[name] == pytest.approx(np.mean([result[key] for result in results]), abs=1e-5)


def _learn2reg(brains, folder, fixed, moving):
    """Return Dice and the spread of the log determinant of a field, computed as Learn2Reg's evaluation does."""
    field = nibabel.load(folder / f"disp_{fixed}_{moving}.nii.gz").get_fdata()
    assert field.shape == (24, 24, 36, 3)
    labels = [read_labels(brains / f"{name}_seg.nii.gz").data for name in (fixed, moving)]
    places = np.indices(labels[0].shape) + np.moveaxis(field, -1, 0)
    warped = ndimage.map_coordinates(labels[1], places, order=0)
    both = [label for label in labels_of(labels[0]) if label in labels_of(labels[1])]
    determinants = jacobian_determinant(_tensor(np.moveaxis(field, -1, 0)))[0].numpy()
    return dice_of_labels(labels[0], warped, both).mean(), log_spread_l2r(determinants)


def _tensor(field):
    import torch

    return torch.from_numpy(np.ascontiguousarray(field))[None]


# --- wrong use ---


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected --fixed and --moving, or --pairs"),
        (["--fixed", "a.nii.gz"], "found no --moving; give both"),
        (["--model", "micdir_ixi", "--method", "affine"], "--model and --method: expected one of them, found both"),
        (["--submission", "s.zip"], "--submission: expected --field-format l2r, found itk"),
        (["--submission", "s.tar", "--field-format", "l2r"], "--submission: expected a .zip file, found s.tar"),
        (["--instance-steps", "-1"], "--instance-steps: expected 0 or more, found -1"),
        (["--model", "micdir_ixi", "--similarity", "correlation"], "--similarity: expected --method, or"),
        (["--fixed", "a.nii.gz", "--moving", "b.nii.gz", "--also", "none.nii"], "--also none.nii: expected a file"),
        (["--model", "micdirr_ixi"], "no config is called 'micdirr_ixi'; did you mean"),
        (["--method", "deformable"], "invalid choice: 'deformable'"),
    ],
)
def test_wrong_use_is_one_sentence(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert register.main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_model_of_another_task_is_refused(brains, tmp_path, capsys):
    words = [*words_of(brains), "--model", "rcnet_retinanet", "--weights", "none", "-o", str(tmp_path / "out")]
    assert register.main(words) == 2
    assert "expected a model for registration, found one for detection" in capsys.readouterr().err


def test_the_sheet_is_the_only_image(brains, tmp_path, capsys):
    assert register.main([*words_of(brains), "--vis", "side", "-o", str(tmp_path / "out")]) == 2
    assert "--vis side: expected overlay, none, found 'side'" in capsys.readouterr().err


def test_resume_refuses_other_label_maps(brains, affine_run, capsys):
    words = ["--method", "affine", "-o", str(affine_run), "-q", "--resume"]
    assert register.main([*words_of(brains, labels=False), *words]) == 0
    assert register.main([*words_of(brains), *words]) == 2
    assert "--resume: expected the files of all pairs of the run" in capsys.readouterr().err


def test_intensities_as_labels_are_stated(tmp_path, capsys):
    slices = np.random.default_rng(0).integers(0, 255, (2, 40, 48)).astype(np.uint8)
    for name, pixels in zip("ab", slices, strict=True):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    words = ["--fixed", str(tmp_path / "a.png"), "--moving", str(tmp_path / "b.png"), "--vis", "none"]
    labels = ["--labels", str(tmp_path / "b.png")]
    assert register.main([*words, *labels, "--method", "affine", "-o", str(tmp_path / "out")]) == 0
    assert "labels: the values are probably intensities and not labels" in capsys.readouterr().err
