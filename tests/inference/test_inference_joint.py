"""A model with several tasks is inferred as one: one pass of its trunk, and by task the files of a single model."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_scenes import save_video, scene
from joint_models import (
    CLASSES,
    HEADS,
    PIPELINE,
    joint_config,
    save_joint_weights,
    save_single_weights,
    single_config,
    write_config,
)
from PIL import Image

from visionzoo import Inferencer
from visionzoo.cli.infer import main
from visionzoo.errors import ConfigError, InputError, UnknownName
from visionzoo.inference.backends import TaskClasses
from visionzoo.inference.predictions import JointPrediction
from visionzoo.inference.readers import readers_of
from visionzoo.tasks import JointTask, task_of
from visionzoo.tasks.counting import CrowdCount, draw_count

TIMES = ("seconds", "inputs_per_second", "started", "command", "out", "settings", "weights", "form")


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    """Return the config of four tasks and its weights."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("joint")
    config = joint_config(folder)
    return config, save_joint_weights(config, folder / "weights.pth")


@pytest.fixture
def images(tmp_path):
    """Return a folder of images of three sizes, of which one is odd, and of one file without an image."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(scene(61, 83)).save(folder / "a.png")
    Image.fromarray(scene(120, 90, 1)).save(folder / "b.jpg", quality=95)
    Image.fromarray(scene(61, 83, 2)).save(folder / "sub" / "a.png")
    Image.fromarray(scene(200, 150, 3)).save(folder / "sub" / "c.png")
    (folder / "x.png").write_bytes(b"not an image")
    return folder


def run(model, weights, *args):
    return main([str(model), *map(str, args), "--weights", str(weights), "--device", "cpu", "--no-progress"])


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_times(name: str, content: bytes) -> object:
    """Return the content of a file without times and, in ``run.json``, without paths."""
    if name.endswith("run.json"):
        return {key: value for key, value in json.loads(content).items() if key not in TIMES}
    if name == "tusimple.json":
        return [{**json.loads(line), "run_time": 0} for line in content.splitlines()]
    if name.endswith(".infer.jsonl"):  # sizes in it depend on the digits of times
        return [{**json.loads(line), "sizes": None} for line in content.splitlines()]
    return (
        b"\n".join(line for line in content.splitlines() if b"weights" not in line)
        if name.endswith(".html")
        else content
    )


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_task_has_the_files_of_a_model_of_one_task(joint, images, tmp_path, capsys):
    config, weights = joint
    options = ("-r", "--vis", "overlay,side", "--gallery", "--batch-size", "2")
    assert run(config, weights, images, "-o", tmp_path / "joint", *options) == 1
    said = capsys.readouterr().err
    for task in HEADS:
        folder = tmp_path / f"one_{task}"
        one = single_config(folder, task), save_single_weights(weights, task, folder / "weights.pth")
        assert run(*one, images, "-o", tmp_path / task, *options) == 1
        alone, together = files_of(tmp_path / task), files_of(tmp_path / "joint" / task)
        assert sorted(alone) == sorted(together)
        assert len(alone) > 20
        for name, content in alone.items():
            assert without_times(name, content) == without_times(name, together[name]), name
        summary = capsys.readouterr().err.splitlines()[-3]
        assert f"{task}: {summary}" in said


def test_one_pass_of_the_trunk_serves_all_tasks(joint):
    inferencer = Inferencer(*joint, device="cpu", batch_size=3)
    calls = []
    inferencer.model.backbone.register_forward_hook(lambda *_: calls.append(1))
    predictions = list(inferencer([scene(61, 83, seed) for seed in range(3)]))
    assert len(calls) == 1
    for prediction in predictions:
        assert isinstance(prediction, JointPrediction)
        assert list(prediction.results) == list(HEADS) == list(inferencer.tasks)
        assert not prediction.errors
        assert [part.task for part in prediction.by_task().values()] == list(HEADS)
    assert inferencer.one(scene(50, 70)).results["classification"].names == CLASSES
    assert len(calls) == 2


def test_only_the_heads_of_chosen_tasks_run(joint):
    config, weights = joint
    inferencer = Inferencer(config, weights, device="cpu", tasks="saliency,lanes")
    ran = []
    for name, head in inferencer.model.heads.items():
        head.predict = lambda *args, name=name, call=head.predict: (ran.append(name), call(*args))[1]
    found = inferencer.one(scene(50, 70))
    assert ran == ["lanes", "saliency"] == list(found.results)
    whole = Inferencer(config, weights, device="cpu").one(scene(50, 70))
    for task, result in found.results.items():
        assert result.to_json() == whole.results[task].to_json()


def test_one_chosen_task_has_the_files_of_a_model_of_one_task(joint, images, tmp_path):
    config, weights = joint
    assert run(config, weights, images / "a.png", "-o", tmp_path / "out", "--task", "counting") == 0
    assert {"predictions.csv", "predictions.jsonl", "raw/a.npy", "vis/a.png", "run.json"} <= set(
        files_of(tmp_path / "out")
    )
    assert lines_of(tmp_path / "out" / "predictions.jsonl")[0]["task"] == "counting"


def test_the_line_of_an_input_has_the_results_of_all_tasks(joint, images, tmp_path):
    config, weights = joint
    out = tmp_path / "out"
    assert run(config, weights, images / "sub", images / "x.png", "-o", out) == 1
    first, second, broken = lines_of(out / "predictions.jsonl")
    assert first["task"] == list(HEADS)
    assert list(first["result"]) == list(HEADS)
    density = np.load(out / first["result"]["counting"]["density"])
    assert density.sum() == pytest.approx(first["result"]["counting"]["count"], rel=1e-4)
    for task in HEADS:
        own = lines_of(out / task / "predictions.jsonl")
        kept = {key: value for key, value in second["result"][task].items() if not isinstance(value, str)}
        assert {key: own[1]["result"][key] for key in kept} == kept
        assert own[2] == broken
    assert "cannot be decoded" in broken["error"]
    about = json.loads((out / "run.json").read_text())
    assert (about["task"], about["inputs"], about["failed"], about["complete"]) == (list(HEADS), 3, 1, True)
    assert [each["name"] for each in about["categories"]["classification"]] == list(CLASSES)
    assert about["categories"]["lanes"] == []


def test_everything_is_drawn_on_one_image_with_a_legend(joint, images, tmp_path):
    config, weights = joint
    assert run(config, weights, images / "sub" / "c.png", "-o", tmp_path / "out") == 0
    drawn = np.asarray(Image.open(tmp_path / "out" / "vis" / "c.png"))
    single = {task: np.asarray(Image.open(tmp_path / "out" / task / "vis" / "c.png")) for task in HEADS}
    rows = single["lanes"].shape[0]
    panel = len(single["classification"]) - rows
    assert panel > 0
    np.testing.assert_array_equal(drawn[rows : rows + panel], single["classification"][rows:])
    assert len(drawn) - rows - panel > 4 * 9  # a line of the legend for each task
    assert not np.array_equal(drawn[:rows], single["saliency"])


def test_a_count_is_at_a_corner_without_a_label() -> None:
    from PIL import ImageDraw

    from visionzoo.reports.images import gathered_labels, label_font, write_gathered, write_labels

    canvas = Image.new("RGB", (128, 96), (90, 90, 90))
    pen, size = ImageDraw.Draw(canvas), canvas.size
    with gathered_labels() as labels:
        write_labels(pen, [("box", (200, 0, 0), np.array([0, 0, 60, 60]))], label_font(12), size)
        draw_count(np.zeros((96, 128, 3), np.uint8), CrowdCount(3.0, np.zeros((4, 6), np.float32), size))
    write_gathered(pen, labels, size)
    assert canvas.getpixel((0, 0)) == (200, 0, 0)
    assert canvas.getpixel((0, 90)) == (255, 255, 255)


def test_selections_by_task(joint, images, tmp_path, capsys):
    config, weights = joint
    inferencer = Inferencer(config, weights, device="cpu", class_thresholds={"lanes": 0.9, "star": 1.0}, limit=2)
    lanes, classes = inferencer.readers["lanes"].selection, inferencer.readers["classification"].selection
    assert (lanes.threshold, lanes.limit, classes.threshold, classes.thresholds, classes.limit) == (
        0.9,
        2,
        0.0,
        {2: 1.0},
        2,
    )
    chosen = Inferencer(config, weights, device="cpu", classes=["square"]).one(scene(50, 70)).results
    assert chosen["classification"].labels.tolist() == [1]
    whole = Inferencer(config, weights, device="cpu").one(scene(50, 70)).results
    assert len(whole["lanes"].points) > 0
    assert chosen["lanes"].to_json() == whole["lanes"].to_json()
    assert run(config, weights, images / "a.png", "-o", tmp_path / "o", "--threshold", "lanes=1") == 0
    assert "lanes: no lane above 1 in 1 of 1 images; the best score is 0." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(class_thresholds={"moon": 0.5}), UnknownName, "moon"),
        (dict(classes="moon"), UnknownName, "moon"),
        (dict(class_thresholds={"counting": 0.5}), ConfigError, "threshold of counting"),
        (dict(score_threshold=2.0), ConfigError, "a score from 0 to 1"),
        (dict(limit=0), ConfigError, "1 or more"),
        (dict(tasks="lanes,count"), UnknownName, "did you mean 'counting'"),
        (dict(tasks=["lanes", "lanes"]), ConfigError, "each task once"),
        (dict(tasks=[]), ConfigError, "each task once"),
    ],
)
def test_wrong_selections_are_one_sentence(joint, options, error, message):
    with pytest.raises(error, match=message):
        Inferencer(*joint, device="cpu", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict(thresholds={"detection": 0.5}),
            "no task or class of this model is called 'detection'; known: cat, classification, dog, lanes",
        ),
        (dict(names="lanes"), "no class of this model is called 'lanes'; known: cat, dog"),
        (dict(names="counting,cat"), "no class of this model is called 'counting'; known: cat, dog"),
    ],
)
def test_an_unknown_name_is_answered_with_names_that_the_option_takes(options, message):
    two = {"lanes": TaskClasses(), "counting": TaskClasses(), "classification": TaskClasses(("cat", "dog"))}
    with pytest.raises(UnknownName) as raised:
        readers_of(two, **options)
    assert str(raised.value).startswith(message)


def test_classes_of_tasks_without_classes_are_refused():
    with pytest.raises(UnknownName, match="its results have no names of classes; leave it out"):
        readers_of({"lanes": TaskClasses(), "counting": TaskClasses()}, names="cat")


def test_a_run_of_several_tasks_is_not_continued_with_one(joint, images, tmp_path, capsys):
    config, weights = joint
    assert run(config, weights, images / "a.png", "-o", tmp_path / "out") == 0
    capsys.readouterr()
    assert run(config, weights, images / "a.png", "-o", tmp_path / "out", "--resume", "--task", "lanes") == 2
    said = capsys.readouterr().err
    assert 'error: --resume: expected --task ["lanes", "counting"' in said
    assert 'found ["lanes"]; give the options of that run' in said


def test_a_class_of_several_tasks_may_have_a_comma():
    two = {"lanes": TaskClasses(), "classification": TaskClasses(("tench, Tinca tinca", "cat"))}
    assert readers_of(two, names="cat,tench, Tinca tinca")["classification"].selection.labels == (1, 0)


@pytest.mark.parametrize("tasks", [None, []])
def test_a_config_without_a_task_is_one_sentence(tmp_path, images, capsys, tasks):
    config = write_config(tmp_path, tasks, {"head": HEADS["counting"]})
    assert run(config, "none", images / "a.png", "-o", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert f"error: {config}: task: expected the name of a task, found none; add one or several of classif" in said


def test_an_option_that_no_task_has_is_refused(joint, images, tmp_path, capsys):
    config, weights = joint
    assert run(config, weights, images / "a.png", "-o", tmp_path / "out", "--save", "txt") == 2
    assert "--save txt: expected a task whose results have files of the format txt" in capsys.readouterr().err
    counting = joint_config(tmp_path / "two", ["counting", "saliency"])
    with pytest.raises(ConfigError, match="a limit of results"):
        Inferencer(counting, "none", device="cpu", limit=3)


def test_an_attribute_of_one_task_is_refused_for_several(joint):
    inferencer = Inferencer(*joint, device="cpu")
    for name in ("task", "class_names", "category_ids", "selection"):
        with pytest.raises(
            ConfigError, match=f"Inferencer.{name}: expected a model of one task, found one of lanes, counting"
        ):
            getattr(inferencer, name)
    assert inferencer.of_task("classification").class_names == CLASSES
    with pytest.raises(UnknownName):
        inferencer.of_task("detection")


def test_tasks_with_different_inputs_are_refused(tmp_path, images, capsys):
    heads = {**HEADS, "referring": HEADS["saliency"]}
    config = write_config(
        tmp_path, ["lanes", "referring"], {"heads": {name: heads[name] for name in ("lanes", "referring")}}
    )
    expected = "task: expected tasks with one kind of inputs, found lanes (images), referring (phrases); choose tasks"
    assert run(config, "none", images / "a.png", "-o", tmp_path / "out") == 2
    assert expected in capsys.readouterr().err
    assert run(config, "none", images / "a.png", "-o", tmp_path / "out", "--task", "lanes") == 0


def test_data_sets_by_task_share_one_pipeline(tmp_path):
    two = ("lanes", "counting")

    def config(folder, **pipelines):
        data = {task: {"type": "ImageFolder", "data_root": "none", "pipeline": pipelines[task]} for task in two}
        loader = {"dataset": {"type": "JointDataset", "datasets": data}}
        return write_config(folder, list(two), {"heads": {task: HEADS[task] for task in two}}, test_dataloader=loader)

    truth = [PIPELINE[0], {"type": "LoadLaneMask"}, *PIPELINE[1:]]
    found = Inferencer(config(tmp_path / "same", lanes=truth, counting=PIPELINE), "none", device="cpu")
    assert len(found.prepare.transforms) == 2
    other = [PIPELINE[0], PIPELINE[2]]
    differing = config(tmp_path / "other", lanes=truth, counting=other)
    with pytest.raises(
        ConfigError, match="one test pipeline for all tasks, found other transforms for lanes than for counting"
    ):
        Inferencer(differing, "none", device="cpu")
    assert len(Inferencer(differing, "none", device="cpu", tasks="counting").prepare.transforms) == 1
    differing.write_text(f"{differing.read_text()}infer_pipeline = {PIPELINE!r}\n")
    assert len(Inferencer(differing, "none", device="cpu").prepare.transforms) == 2


def test_an_error_of_one_task_leaves_the_others(joint, images, tmp_path, capsys, monkeypatch):
    config, weights = joint
    counting = type(task_of("counting"))
    read = counting.read

    def failing(self, sample, size, names):
        if size == (83, 61):
            raise InputError("image", expected="a count", found="nan", advice="check the weights")
        return read(self, sample, size, names)

    monkeypatch.setattr(counting, "read", failing)
    assert run(config, weights, images / "a.png", images / "b.jpg", "-o", tmp_path / "out") == 1
    first, second = lines_of(tmp_path / "out" / "predictions.jsonl")
    assert sorted(first["result"]) == sorted(set(HEADS) - {"counting"})
    assert list(first["errors"]) == ["counting"]
    assert sorted(second["result"]) == sorted(HEADS)
    assert "errors" not in second
    said = capsys.readouterr().err
    assert "found nan; check the weights (counting)" in said
    assert "1 of 2 images done" in said
    with pytest.raises(InputError, match="found nan"):
        Inferencer(config, weights, device="cpu").one(scene(61, 83))


@pytest.mark.parametrize("stop", [1, 3])
def test_an_interrupted_run_continues_as_if_it_had_not_been(joint, images, tmp_path, monkeypatch, stop):
    config, weights = joint
    save_video(images / "v.mp4", frames=3)
    options = (images, "-r", "--gallery", "--vis", "overlay,side")
    whole, out = tmp_path / "whole", tmp_path / "out"
    run(config, weights, *options, "-o", whole)

    from visionzoo.inference import joint_writing

    written, original = [], joint_writing.JointWriter.write

    def killed(self, prediction):
        if len(written) == stop:
            self._parts["lanes"].write(prediction.by_task()["lanes"])  # one task is ahead of the others
            raise KeyError("killed")
        written.append(1)
        original(self, prediction)

    monkeypatch.setattr(joint_writing.JointWriter, "write", killed)
    with pytest.raises(KeyError):
        run(config, weights, *options, "-o", out)
    monkeypatch.undo()
    assert not json.loads((out / "run.json").read_text())["complete"]
    assert len(lines_of(out / "lanes" / "predictions.jsonl")) == stop + 1
    assert run(config, weights, *options, "-o", out, "--resume") == 1
    expected, found = files_of(whole), files_of(out)
    assert sorted(expected) == sorted(found)
    for name, content in expected.items():
        if not name.endswith(".infer.jsonl"):
            assert without_times(Path(name).name, content) == without_times(Path(name).name, found[name]), name


def test_overwriting_removes_only_files_of_runs(joint, images, tmp_path):
    config, weights = joint
    out = tmp_path / "out"
    run(config, weights, images, "-r", "-o", out)
    (out / "counting" / "notes.txt").write_text("mine")
    assert run(config, weights, images / "a.png", "-o", out, "--overwrite", "--task", "lanes,saliency") == 0
    left = set(files_of(out))
    assert "counting/notes.txt" in left
    assert not [
        name for name in left if name.startswith(("counting/", "classification/")) and name != "counting/notes.txt"
    ]
    assert not [name for name in left if "sub" in name]
    rows = list(csv.DictReader((out / "lanes" / "predictions.csv").open()))
    assert [Path(row["input"]).name for row in rows] == ["a.png"]


def test_a_drawing_without_a_result_of_a_task_says_so():
    task = JointTask({name: task_of(name) for name in ("lanes", "counting")})
    image = scene(60, 80)
    from visionzoo.structures.lanes import Lanes
    from visionzoo.tasks import JointResult

    lanes = Lanes((np.array([[10.0, 50.0], [30.0, 5.0]]),), slots=(0,), scores=(0.9,))
    drawn = task.draw(image, JointResult({"lanes": lanes}), 4)
    both = drawn[: 4 * 60]
    alone = task_of("lanes").draw(image, lanes, 4)
    np.testing.assert_array_equal(both, alone)
    assert drawn.shape[1] == 320
    np.testing.assert_array_equal(image, scene(60, 80))


@pytest.mark.parametrize("size", [(1, 1), (32, 32)])
def test_the_legend_of_a_narrow_image_is_as_wide_as_its_lines(size):
    from visionzoo.structures.lanes import Lanes
    from visionzoo.tasks import JointResult

    task = JointTask({name: task_of(name) for name in ("lanes", "counting")})
    result = JointResult({"lanes": Lanes((np.array([[0.0, 0.0], [1.0, 1.0]]),), slots=(0,), scores=(0.9,))})
    drawn = task.draw(np.zeros((*size, 3), np.uint8), result, 4)
    ink = (drawn[4 * size[0] :] < 128).any(axis=(0, 2))
    assert 60 < np.flatnonzero(ink).max() < drawn.shape[1] - 4  # "counting: no result" ends before the edge
    assert (drawn[: 4 * size[0], 4 * size[1] :] == 255).all()


def test_the_pipeline_of_inference_is_checked_like_others(tmp_path, capsys):
    from visionzoo.cli import main as visionzoo

    wrong = [PIPELINE[0], {"type": "Resize", "scale": (8, 8), "keep_ration": True}, PIPELINE[2]]
    config = write_config(tmp_path, "counting", {"head": HEADS["counting"]}, infer_pipeline=wrong)
    assert visionzoo(["config", "check", str(config)]) != 0
    said = capsys.readouterr()
    assert "infer_pipeline.1" in said.out + said.err
    assert "keep_ratio" in said.out + said.err
