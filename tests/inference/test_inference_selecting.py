"""Selection of results by class, score and number, crops and YOLO lines; tasks without them refuse the options."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from inference_scenes import scene
from PIL import Image

from visionzoo import Inferencer
from visionzoo.cli.infer import main
from visionzoo.cli.result_options import split_thresholds
from visionzoo.errors import ConfigError, InputError, UnknownName
from visionzoo.inference.selecting import model_thresholds, require_format, require_option, selection_of
from visionzoo.structures.class_scores import class_scores_of
from visionzoo.structures.detections import Detections, decode_mask, encode_mask
from visionzoo.structures.lanes import Lanes
from visionzoo.structures.yolo_lines import yolo_lines
from visionzoo.tasks import task_of

EVERY_BOX = {"model.test_cfg.score_thr": 0.0, "model.test_cfg.max_per_img": 300}
NAMES = ("circle", "square", "traffic light")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "a.jpg"
    Image.fromarray(scene(60, 90)).save(path)
    return path


@pytest.fixture(scope="module")
def every(detector_weights, image):
    """All boxes of the image, of three classes."""
    inferencer = Inferencer(
        "rcnet_retinanet", detector_weights, tiny=True, device="cpu", score_threshold=0.0, options=EVERY_BOX
    )
    return inferencer.one(image).result


@pytest.fixture
def run(detector_weights, tmp_path):
    """Return a function that runs the small detector and returns its exit code, results and messages."""

    def call(*args, name="rcnet_retinanet", weights=detector_weights, settings=EVERY_BOX):
        changes = [f"{path}={value}" for path, value in settings.items()]
        options = ["--cfg-options", *changes] if name == "rcnet_retinanet" else []
        given = [name, *map(str, args), "--tiny", "--device", "cpu", "--weights", str(weights), *options]
        return main([*given, "-o", str(tmp_path / "out")])

    call.out = tmp_path / "out"
    return call


def result(out):
    return json.loads((out / "predictions.jsonl").read_text().splitlines()[0])["result"]


def test_classes_thresholds_and_limit(run, image, every):
    assert set(every.labels) == {0, 1, 2}
    middle = float(np.median(every.scores[every.labels == 2]))
    assert run(image, "--classes", "star,circle", "--threshold", "0", f"star={middle}", "--vis", "none") == 0
    kept = [
        (label, round(float(score), 6))
        for label, score in zip(every.labels, every.scores)
        if label == 0 or (label == 2 and score >= middle)
    ]
    found = result(run.out)
    assert 0 < len(kept) < len(every)
    assert list(zip(found["labels"], found["scores"])) == kept
    assert run(image, "--overwrite", "--threshold=0", "--limit", "3", "--vis", "none") == 0
    assert result(run.out)["scores"] == [round(float(score), 6) for score in every.scores[:3]]
    assert len(json.loads((run.out / "predictions.coco.json").read_text())) == 3


def test_crops_and_yolo_lines(run, image):
    assert run(image, "--threshold", "0", "--limit", "4", "--save", "txt", "--save-crops", "--vis", "none") == 0
    found, image = result(run.out), np.asarray(Image.open(image))
    assert found["txt"] == "labels/a.txt"
    assert (run.out / "labels" / "classes.txt").read_text() == "circle\nsquare\nstar\n"
    lines = [line.split() for line in (run.out / "labels" / "a.txt").read_text().splitlines()]
    for number, (box, name, label, line) in enumerate(
        zip(*(found[key] for key in ("boxes", "names", "labels")), lines)
    ):
        crop = np.asarray(Image.open(run.out / "crops" / name / f"a_{number + 1}.jpg"))
        x1, y1, x2, y2 = box
        assert abs(crop.shape[1] - (x2 - x1)) <= 2
        assert abs(crop.shape[0] - (y2 - y1)) <= 2
        cut = image[int(y1) : int(y1) + crop.shape[0], int(x1) : int(x1) + crop.shape[1]]
        assert np.abs(crop.astype(int) - cut).mean() < 12
        assert int(line[0]) == label
        cx, cy, w, h, score = map(float, line[1:])
        expected = [(cx - w / 2) * 90, (cy - h / 2) * 60, (cx + w / 2) * 90, (cy + h / 2) * 60]
        np.testing.assert_allclose(expected, box, atol=2e-3)
        assert score == found["scores"][number]
    assert len(lines) == 4


def test_files_of_inputs_with_equal_stems(run, image, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "a.png", "classes.png", "a_1.png"):
        Image.open(image).save(tmp_path / "in" / name)
    options = ["--threshold", "0", "--limit", "2", "--save", "txt", "--save-crops", "--vis", "none"]
    assert run(tmp_path / "in", *options) == 0
    labels = {path.name for path in (run.out / "labels").iterdir()}
    assert labels == {"a.txt", "a-2.txt", "a_1.txt", "classes.txt", "classes-2.txt"}
    assert len(list((run.out / "crops").rglob("*.jpg"))) == 8


def test_masks_are_polygons_and_cut_crops(masks_weights, image, tmp_path):
    args = ["rcnet_mask_rcnn", str(image), "--tiny", "--device", "cpu", "--weights", str(masks_weights)]
    options = ["--cfg-options", "model.test_cfg.rcnn.score_thr=0.0", "model.test_cfg.rcnn.max_per_img=3"]
    files = ["--save", "txt", "--save-crops", "--vis", "none", "-o", str(tmp_path / "out")]
    assert main([*args, "--threshold", "0", *files, *options]) == 0
    lines = (tmp_path / "out" / "labels" / "a.txt").read_text().splitlines()
    assert len(lines) == 3
    for line in lines:
        label, *corners, score = map(float, line.split())
        assert len(corners) % 2 == 0
        assert len(corners) >= 6
        assert all(0 <= value <= 1 for value in [*corners, score])
        assert label in (0, 1, 2)


def test_a_mask_gives_its_outline():
    mask = np.zeros((40, 80), bool)
    mask[10:20, 20:60] = True
    mask[30:32, 1:3] = True
    code = encode_mask(mask)
    found = Detections(np.array([[20.0, 10, 60, 20]]), np.array([0.5]), np.array([1]), (80, 40), masks=(code,))
    label, *corners, score = map(float, yolo_lines(found).split())
    xs, ys = np.array(corners[::2]) * 80, np.array(corners[1::2]) * 40
    assert (label, score) == (1, 0.5)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == pytest.approx((20.5, 59.5, 10.5, 19.5), abs=1e-3)
    empty = Detections(found.boxes, found.scores, found.labels, (80, 40), masks=(encode_mask(mask & False),))
    assert not decode_mask(empty.masks[0]).any()
    assert len(yolo_lines(empty).split()) == 10


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--threshold", "5"], "--threshold: expected a score from 0 to 1, found 5.0"),
        (["--threshold", "nan"], "--threshold: expected a score from 0 to 1, found nan"),
        (["--threshold", "-0.1"], "--threshold: expected a score from 0 to 1, found -0.1"),
        (["--score-threshold", "inf"], "--threshold: expected a score from 0 to 1, found inf"),
        (["--threshold", "high"], "--threshold: expected a score such as 0.3, or cat=0.3, found 'high'"),
        (["--threshold", "0.3", "star=2"], "threshold of star: expected a score from 0 to 1, found 2.0"),
        (["--threshold", "0.3", "stat=0.2"], "no class of this model is called 'stat'; did you mean 'star'?"),
        (["--classes", "star,sqare"], "no class of this model is called 'sqare'; did you mean 'square'?"),
        (["--classes", ","], "classes: expected at least one class, found none"),
        (["--limit", "0"], "--limit: expected 1 or more, found 0"),
        (["--save", "crops"], "no file format of results is called 'crops'; known: txt"),
        (["--save", "threshold"], "no file format of results is called 'threshold'; known: txt"),
        (["--save", "tx"], "no file format of results is called 'tx'; did you mean 'txt'?"),
    ],
)
def test_wrong_values_are_refused(run, image, capsys, options, words):
    assert run(image, *options) == 2
    assert words in capsys.readouterr().err
    assert not run.out.exists()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("hmode_shanghaitech_a", ["--threshold", "0.3"], "--threshold: expected a task whose results have a score thr"),
        ("hmode_shanghaitech_a", ["--limit", "3"], "found counting; leave it out, or use a model of classification, "),
        (
            "scnn_culane",
            ["--classes", "a"],
            "found lanes; leave it out, or use a model of classification, detection, ",
        ),
        ("connnet_r50", ["--save-crops"], "--save-crops: expected a task whose results have crops of results, found s"),
        ("bossnet_t0_imagenet", ["--save", "txt"], "found classification; leave it out, or use a model of detection, "),
    ],
)
def test_tasks_refuse_what_they_do_not_have(run, image, capsys, name, options, words):
    assert run(image, *options, name=name, weights="none") == 2
    assert words in capsys.readouterr().err
    assert not run.out.exists()


def test_every_option_has_a_task():
    for option in ("threshold", "classes", "limit", "crops"):
        require_option(task_of("detection"), option, option)
    require_format(task_of("detection"), "txt")


def test_the_end_states_what_was_found(run, image, every, capsys):
    best = every.best_score
    assert run(image, "--threshold", "0.99", "--vis", "none") == 0
    assert f"no box above 0.99 in 1 of 1 images; the best score is {best:.3g}\n" in capsys.readouterr().err
    assert run(image, "--threshold", "0", "--limit", "2", "--overwrite", "--vis", "none") == 0
    assert "2 circle in 1 of 1 images\n1 of 1 images done, results in " in capsys.readouterr().err


def test_a_threshold_of_the_model_is_stated(run, image, capsys):
    hiding = {"model.test_cfg.score_thr": 0.9}
    for threshold, words in (("0.95", "no box in 1 of 1 images\n"), ("0.01", "")):
        assert run(image, "--threshold", threshold, "--vis", "none", "--overwrite", settings=hiding) == 0
        output = capsys.readouterr().err
        assert words in output
        assert "the model itself drops scores below 0.9 (model.test_cfg.score_thr); --cfg-options model" in output
    assert run(image, "--vis", "none", "--overwrite") == 0
    assert "the model itself" not in capsys.readouterr().err


def test_a_threshold_of_the_model_that_the_config_leaves_out():
    model = SimpleNamespace(head=SimpleNamespace(exist_threshold=0.5, rows=object()))
    found = model_thresholds("lanes", {"model": {"head": {}}}, model)
    assert found == {"model.head.exist_threshold": 0.5}


def test_a_wrong_class_is_an_error_before_the_model_is_built(run, image, capsys, monkeypatch):
    def build(*args, **options):
        raise AssertionError("the model is built")

    monkeypatch.setattr("visionzoo.inference.torch_backend.ready_model", build)
    for options in (["--classes", "sqare"], ["--threshold", "sqare=0.5"]):
        assert run(image, *options) == 2
        assert "did you mean 'square'?" in capsys.readouterr().err


def test_python_selects_too(image, every, detector_weights):
    given = {"score_threshold": 0.0, "classes": ["square"], "limit": 2, "options": EVERY_BOX}
    chosen = Inferencer("rcnet_retinanet", detector_weights, tiny=True, device="cpu", **given)
    found = chosen.one(image).result
    assert len(found) == 2
    np.testing.assert_array_equal(found.boxes, every.boxes[every.labels == 1][:2])
    with pytest.raises(ConfigError, match="expected a score from 0 to 1, found 7"):
        chosen.one(scene(60, 90), score_threshold=7)


def test_classes_beyond_the_five_best_are_kept():
    names = tuple(f"kind {number}" for number in range(9))
    scores = class_scores_of(np.linspace(0.9, 0.1, 9), names, kept=None)
    task = task_of("classification")
    found, best = selection_of(task, names, classes=["kind 7", "kind 8"]).of(scores, True)
    assert found.to_json()["names"] == ["kind 7", "kind 8"]
    assert best == pytest.approx(0.2)
    assert len(selection_of(task, names).of(scores, True)[0]) == 5
    assert len(selection_of(task, names, limit=7).of(scores, True)[0]) == 7


def test_the_best_lanes_stay_in_order():
    lanes = Lanes(tuple(np.full((2, 2), float(x)) for x in range(3)), scores=(0.5, 0.2, 0.9), slots=(0, 1, 2))
    found, best = selection_of(task_of("lanes"), None, limit=2).of(lanes, True)
    assert (found.slots, found.scores, best) == ((0, 2), (0.5, 0.9), 0.9)


def test_without_class_names_numbers_are_names():
    assert selection_of(task_of("detection"), None, classes=["2"], thresholds={"0": 0.5}).labels == (2,)
    with pytest.raises(InputError, match="the weights have no class names"):
        selection_of(task_of("detection"), None, classes=["cat"])


def test_a_threshold_does_not_take_the_inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "7").mkdir()
    words = ["net", "--threshold", "0.3", "traffic light=0.5", "7", "images/", "--limit", "3"]
    expected = ["net", "--threshold=0.3", "--threshold=traffic light=0.5", "7", "images/", "--limit", "3"]
    assert split_thresholds(words) == expected
    assert split_thresholds(["--score-threshold", "-1"]) == ["--score-threshold=-1"]
    assert split_thresholds(["--threshold", "--limit", "3"]) == ["--threshold", "--limit", "3"]


def test_unknown_names_of_python_are_refused():
    with pytest.raises(UnknownName, match="did you mean 'traffic light'"):
        selection_of(task_of("detection"), NAMES, thresholds={"traffic lights": 0.5})
