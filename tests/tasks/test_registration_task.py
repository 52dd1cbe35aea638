"""Registration as a task: result, files, sheet and inputs."""

import argparse
import gzip
import re

import numpy as np
import pytest
import torch

from visionzoo.datasets.field_files import read_field
from visionzoo.datasets.tiny.volumes import draw_field
from visionzoo.datasets.volume_files import read_volume
from visionzoo.datasets.volume_pairs import read_pair
from visionzoo.errors import InputError, UnknownName
from visionzoo.metrics.registration import RegistrationMetric
from visionzoo.structures.task_sample import TaskSample
from visionzoo.structures.volume_grids import resize_map, sample, voxel_positions
from visionzoo.structures.volumes import Volume
from visionzoo.tasks import task_of
from visionzoo.tasks.registration import MEASURES, registration_of

TASK = task_of("registration")
RNG = np.random.RandomState(0)
SHAPES = [(20, 26), (14, 16, 18)]
AFFINE = np.array([[-1.2, 0, 0, 20], [0, 1.19, -0.11, -18], [0, 0.17, 0.79, -15], [0, 0, 0, 1]])


def known_pair(shape, affine=AFFINE, ending=".npz"):
    """Return a pair with label maps whose fixed image is the moving one, warped by the returned field."""
    field = draw_field(0, shape, 2).astype(np.float32)
    places = voxel_positions(np.zeros((len(shape), *shape)))
    moving = np.sin(places[0] / 2) + np.cos(places[-1] / 3)
    labels = (places[0] // 5 + 4 * (places[-1] // 6)).astype(np.int16)
    fixed, fixed_labels = sample(moving, voxel_positions(field)), sample(labels, voxel_positions(field), nearest=True)
    return {
        "fixed": Volume(fixed, affine, fixed_labels, ending=ending),
        "moving": Volume(moving.astype(np.float32), affine, labels, ending=ending),
    }, field


def result_of(files, field, **meta):
    (source,) = TASK.inputs.sources_of(files)
    pair = TASK.inputs.read(source)
    start = TASK.inputs.start([source], [pair], order="rgb", keep=True)
    found = TaskSample(metainfo={"grid": start["grid"], "field_format": start["field_format"], **meta})
    found.gt_pair, found.pred_field = start["gt_pair"], torch.from_numpy(field)
    return TASK.read(found, TASK.inputs.size(pair), None)


def files_of(result):
    return {kind.key: (kind.suffix, content) for kind in TASK.files if (content := kind.content(result)) is not None}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_true_field_restores_the_fixed_image_and_its_labels(shape):
    files, field = known_pair(shape)
    result = result_of(files, field)
    assert np.abs(result.warped - files["fixed"].data).max() < 1e-5
    assert np.array_equal(result.warped_labels, files["fixed"].labels)
    measures = result.to_json()
    assert measures["ncc"] == pytest.approx(1, abs=1e-5)
    assert measures["dice"] == pytest.approx(1)
    assert measures["ncc_before"] < 0.95
    assert measures["dice_before"] < 0.95
    assert list(result.to_row())[:2] == ["ncc_before", "ncc"]
    assert result.to_row()["tre"] == ""


@pytest.mark.parametrize("shape", SHAPES)
def test_measures_are_those_of_the_metric(shape):
    """On one grid both sample the same voxels, so the same names have the same numbers."""
    files, field = known_pair(shape)
    points = np.full((3, len(shape)), 4.0) + np.arange(3)[:, None]
    measured = result_of({**files, "fixed_points": points, "points": points + 1}, 0.8 * field).measures
    metric = RegistrationMetric()
    pair = {f"gt_{name}": volume.data[None] for name, volume in files.items()}
    pair |= {f"gt_{name}_labels": volume.labels for name, volume in files.items()}
    pair |= {"gt_fixed_points": points, "gt_moving_points": points + 1, "spacing": files["fixed"].spacing}
    metric.process(None, [{"pred_field": 0.8 * field, **pair}])
    expected = metric.evaluate(size=1)
    assert list(measured) == list(MEASURES)
    assert measured == pytest.approx({name: expected[f"reg/{name}"] for name in MEASURES}, abs=1e-5)


def test_landmarks_are_measured_in_millimetres():
    files, field = known_pair(SHAPES[1])
    points = np.array([[4.0, 5, 6], [8, 7, 9]])
    moved = points + np.array([field[(slice(None), *map(int, point))] for point in points])
    result = result_of({**files, "fixed_points": points, "points": moved}, field)
    assert result.measures["tre"] < 1e-5
    lengths = np.linalg.norm((moved - points) * files["fixed"].spacing, axis=1)
    assert result.measures["tre_before"] == pytest.approx(lengths.mean(), rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_field_of_a_coarser_grid_is_brought_to_the_fixed_image(shape):
    files, _ = known_pair(shape)
    coarse = [side // 2 for side in shape]
    result = result_of(files, np.ones((len(shape), *coarse), np.float32), grid=resize_map(shape, coarse).tolist())
    assert result.field.shape == (len(shape), *shape)
    assert np.abs(result.field - 2).max() < 1e-5


def test_a_moving_image_far_away_on_another_grid_is_sampled_once():
    files, field = known_pair(SHAPES[1])
    far = AFFINE.copy()
    far[:3, 3] += 300
    result = result_of({**files, "moving": Volume(files["moving"].data, far, files["moving"].labels)}, field)
    assert np.abs(result.warped - files["fixed"].data).max() < 1e-4
    assert np.abs(result.field).max() > 100  # the shift of 300 mm is part of the field
    assert result.to_json()["folded"] == 0


@pytest.mark.parametrize("ending", [".nii.gz", ".mgz", ".npz", ".npy"])
def test_images_are_written_in_the_kind_of_the_fixed_image(tmp_path, ending):
    if ending in (".nii.gz", ".mgz"):
        pytest.importorskip("nibabel", reason="nibabel is not installed (extra medical)")
    files, field = known_pair(SHAPES[1], ending=ending)
    result = result_of(files, field)
    written = files_of(result)
    assert written["warped"][0] == written["labels"][0] == ending
    (tmp_path / f"w{ending}").write_bytes(written["warped"][1])
    volume = read_volume(tmp_path / f"w{ending}")
    assert np.array_equal(volume.data, result.warped)
    assert volume.affine is None if ending == ".npy" else np.abs(volume.affine - AFFINE).max() < 1e-5


@pytest.mark.parametrize("field_format", ["itk", "voxel", "l2r"])
def test_written_fields_and_their_inverse(tmp_path, field_format):
    pytest.importorskip("nibabel", reason="nibabel is not installed (extra medical)")
    files, field = known_pair(SHAPES[1])
    written = files_of(result_of(files, field, field_format=field_format))
    fields = {}
    for key in ("field", "inverse_field"):
        (tmp_path / "f.nii.gz").write_bytes(written[key][1])
        fields[key], _grid = read_field(tmp_path / "f.nii.gz")
    assert np.abs(fields["field"] - field).max() < 1e-5
    there = voxel_positions(fields["inverse_field"])
    error = fields["inverse_field"] + np.stack([sample(part, there) for part in field])
    assert np.abs(error[:, 4:-4, 4:-4, 4:-4]).mean() < 0.01


def test_without_nibabel_fields_are_arrays(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    files, field = known_pair(SHAPES[0], affine=None)
    ending, content = files_of(result_of(files, field))["field"]
    (tmp_path / f"f{ending}").write_bytes(content)
    read, grid = read_field(tmp_path / "f.npz")
    assert np.array_equal(read, field)
    assert grid.affine is None


def test_bytes_of_a_field_do_not_depend_on_the_time():
    pytest.importorskip("nibabel", reason="nibabel is not installed (extra medical)")
    files, field = known_pair(SHAPES[0])
    contents = [files_of(result_of(files, field))["field"][1] for _ in range(2)]
    assert contents[0] == contents[1]
    assert len(gzip.decompress(contents[0])) == 352 + 4 * field.size


@pytest.mark.parametrize(("shape", "rows"), [(SHAPES[0], 2), (SHAPES[1], 3)])
def test_the_sheet_shows_the_checkerboard_and_marks_folds(shape, rows):
    files, field = known_pair(shape)
    sheet = TASK.draw(TASK.inputs.image(read_pair(files)), result_of(files, field), 1)
    assert sheet.ndim == 3
    assert sheet.shape[0] < 250 * rows
    yellow = (sheet == [255, 215, 0]).all(axis=-1)
    assert not yellow.any()
    folded = field.copy()
    folded[0] -= 3 * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    sheet = TASK.draw(TASK.inputs.image(read_pair(files)), result_of(files, folded), 1)
    assert (sheet == [255, 215, 0]).all(axis=-1).any()


def test_the_summary_has_means_before_and_after():
    files, field = known_pair(SHAPES[0])
    without = {key: Volume(value.data) for key, value in files.items()}
    tally = TASK.tally(result_of(files, field), None) + TASK.tally(result_of(without, field), None)
    text = TASK.summary(tally, 2, "0")
    assert re.fullmatch(r"mean of 2 pairs: NCC 0.\d+ to 1.000, Dice 0.\d+ to 1.000 \(nearest voxel\), 0 % .*", text)


def test_a_field_that_is_not_finite_is_an_error_of_the_input():
    files, field = known_pair(SHAPES[0])
    with pytest.raises(InputError, match="not finite"):
        result_of(files, field * np.nan)


# --- inputs ---


def arguments(*words):
    parser = argparse.ArgumentParser()
    TASK.inputs.add_options(parser)
    return parser.parse_args(words)


def test_a_command_line_names_a_pair_or_a_list(tmp_path):
    (tmp_path / "pairs.csv").write_text("fixed,moving\na.npy,b.npy\na.npy,/c.npy\n")
    (one,) = TASK.inputs.sources(arguments("--fixed", "x/a.nii.gz", "--moving", "b.nii", "--field-format", "l2r"))
    assert (one.name, dict(one.columns)) == ("a-b", {"fixed": "x/a.nii.gz", "moving": "b.nii"})
    assert one.options["field_format"] == "l2r"
    args = arguments("--pairs", str(tmp_path / "pairs.csv"))
    assert [source.name for source in TASK.inputs.sources(args)] == ["a-b", "a-c"]
    assert TASK.inputs.count(args) == 2
    assert [source.value["moving"] for source in TASK.inputs.sources(args)] == [str(tmp_path / "b.npy"), "/c.npy"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected --fixed and --moving, or --pairs, found no --fixed and no --moving"),
        (["--fixed", "a.nii"], "found no --moving; give both"),
        (["--pairs", "p.csv", "--labels", "l.nii"], "--pairs: expected no other file, found --labels"),
        (["--pairs", "none.csv"], "none.csv: expected a CSV file with the columns fixed and moving"),
    ],
)
def test_wrong_options_are_one_sentence(words, message):
    with pytest.raises(InputError, match=re.escape(message)):
        list(TASK.inputs.sources(arguments(*words)))


def test_pairs_from_python():
    eye = np.eye(6)
    for inputs in ((eye, eye[::-1]), {"fixed": eye, "moving": torch.from_numpy(eye)}, [(eye, eye[::-1])]):
        (source,) = TASK.inputs.sources_of(inputs)
        assert TASK.inputs.read(source).fixed.shape == (6, 6)
    with pytest.raises(UnknownName, match="did you mean 'moving'"):
        list(TASK.inputs.sources_of({"fixed": eye, "movin": eye}))
    with pytest.raises(InputError, match="expected a fixed and a moving image"):
        list(TASK.inputs.sources_of([eye[0]]))


@pytest.mark.parametrize("axes", [2, 3])
def test_a_grid_with_shear_is_stated_for_itk(axes):
    sheared = np.diag([2.0, 2.0, 3.0, 1.0])
    sheared[0, axes - 1] = 0.01
    image = RNG.rand(*range(9, 9 + axes))
    for affine, form, count in ((sheared, "itk", 1), (sheared, "voxel", 0), (AFFINE, "itk", 1 - (axes == 2))):
        files = {"fixed": Volume(image, affine), "moving": Volume(image[::-1], affine)}
        (source,) = TASK.inputs.sources_of(files, field_format=form)
        notes = TASK.inputs.read(source).notes
        assert len(notes) == count
        assert all("use --field-format voxel" in note for note in notes)


@pytest.mark.parametrize("size", [(16, 20), (8, 12, 10)])
def test_seeded_pairs_are_equal_each_time(size):
    first, second = (TASK.inputs.seeded(3, size) for _ in range(2))
    assert first["inputs"][0].shape == (2, 1, *size)
    assert torch.equal(first["inputs"][1], second["inputs"][1])
    assert not torch.equal(first["inputs"][0], first["inputs"][1])


def test_a_shaken_pair_is_measured():
    paths = task_pairs()
    metric = RegistrationMetric()
    metric.process(None, [TASK.shaken(each, at, 0, 0) for at, each in enumerate(paths)])
    values = metric.evaluate(size=len(paths))
    assert 0 < values["reg/dice"] < 1


def task_pairs():
    from visionzoo.datasets.registration import RegistrationPairs

    dataset = RegistrationPairs("tiny://oasis_2d?subjects=2&size=24", "*.npz", serialize_data=False)
    return [dataset.get_data_info(at) for at in range(len(dataset))]


def test_falling_overlap_is_said():
    labels = np.kron([[1, 2], [0, 3]], np.ones((6, 6), int))
    image = np.random.default_rng(0).random((12, 12))
    pair = read_pair({"fixed": image, "moving": image, "fixed_labels": labels, "labels": labels})
    worse = registration_of(pair, np.full((2, 12, 12), 2.0))
    assert "labels overlap less than before: look at the sheet" in TASK.said(worse)
    assert "overlap less" not in TASK.said(registration_of(pair, np.zeros((2, 12, 12))))
