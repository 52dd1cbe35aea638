"""``visionzoo explain``: files, exit codes, options, and tasks that it refuses."""

import json

import numpy as np
import pytest
from PIL import Image

from visionzoo.cli import main

NAME = "bossnet_t0_imagenet"
SCORES = "model.heads.detection.test_cfg.score_thr"
LINE = {
    *("input", "target", "value", "layer", "feature_map", "zero", "size", "method", "layout", "model", "task"),
    *("map", "sheet"),
}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number, size in enumerate([(61, 93), (50, 71)]):
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{'ab'[number]}.png")
    return folder


def run(*words, name=NAME, out):
    return main(["explain", name, *map(str, words), "--tiny", "--weights", "none", "-o", str(out), "--device", "cpu"])


def lines_of(out):
    return [json.loads(line) for line in (out / "explanations.jsonl").read_text().splitlines()]


def test_a_bad_image_is_reported_and_the_others_are_written(images, tmp_path, capsys):
    (images / "aa.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert run(images, "--sanity", "all", "--json", out=out) == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == {"out": str(out), "inputs": 3, "failed": 1}
    assert "aa.png" in said.err
    assert "random weights up to the input: rank correlation" in said.err
    assert "2 of 3 explained" in said.err
    first, bad, last = lines_of(out)
    assert set(bad) == {"input", "error"}
    for line in (first, last):
        assert set(line) == LINE | {"sanity"}
        assert line["target"].startswith("logit of ")
        drawn, heat = Image.open(out / line["sheet"]), Image.open(out / line["map"])
        assert drawn.mode == "RGB"
        assert (heat.mode, list(heat.size)) == ("L", line["size"])
        assert np.asarray(heat).max() == (0 if line["zero"] else 255)
    assert sorted(path.name for path in (out / "maps").iterdir()) == ["a.png", "b.png"]
    assert not [*out.rglob("*.part"), *out.rglob("*.tmp")]


def test_quiet_prints_only_errors_and_a_full_folder_is_kept(images, tmp_path, capsys):
    out = tmp_path / "out"
    for folder, words in ((out, ()), (tmp_path / "out-2", ()), (out, ("--overwrite", "--max-samples", "1"))):
        assert run(images / "a.png", images / "b.png", "-q", *words, out=out) == 0
        assert len(lines_of(folder)) == (1 if words else 2)
    assert "explained" not in capsys.readouterr().err


def test_inputs_of_one_name_have_files_of_their_own(images, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.jpg").write_bytes((images / "a.png").read_bytes())
    assert run(images / "a.png", other / "a.jpg", out=tmp_path / "out") == 0
    assert [line["map"] for line in lines_of(tmp_path / "out")] == ["maps/a.png", "maps/a-2.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--method", "gradcam"), "no method is called 'gradcam'; did you mean 'grad-cam'"),
        (("--layer", "backbone.layer5"), "no layer is called 'backbone.layer5'; did you mean 'backbone.layer"),
        (("--layer", "head"), "found one of shape 1x1000; choose a layer that gives a feature map"),
        (("--layout", "channel-last"), "did you mean 'channels-last'"),
        (("--layout", "tokens"), "use --layout channels-first"),
        (("--target", "tenhc"), "no class is called 'tenhc'; did you mean 'tench'"),
        (("--sanity", "al"), "did you mean 'all'"),
        (("--task", "lanes"), "no task of bossnet_t0_imagenet is called 'lanes'"),
        (("--max-samples", "0"), "expected a whole number above 0"),
    ],
)
def test_wrong_use_ends_with_2_and_one_sentence(words, message, images, tmp_path, capsys):
    assert run(images / "a.png", "-q", *words, out=tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("out/*"))  # so that the corrected command writes into this folder


def test_a_model_with_several_heads_needs_the_task(images, tmp_path, capsys):
    options = ("--allow-new", "--cfg-options", 'task=["classification", "counting"]', "model.head=None")
    heads = {"classification": {"type": "ClassificationHead"}, "counting": {"type": "DensityHead", "variant": "tiny"}}
    options += (f"model.heads={heads!r}",)
    assert run(images / "a.png", *options, out=tmp_path / "out") == 2
    assert (
        "expected one task to explain, found classification, counting; use --task classification"
        in capsys.readouterr().err
    )
    assert run(images / "a.png", "--task", "counting", *options, out=tmp_path / "out") == 0
    assert lines_of(tmp_path / "out")[0]["target"] == "count"


@pytest.mark.parametrize(
    ("name", "task", "options", "target"),
    [
        ("road_scene_lite", "lanes", (), "lane slot"),
        (
            "road_scene_lite",
            "detection",
            ("--cfg-options", "model.heads.detection.test_cfg.score_thr=0"),
            "log-odds of",
        ),
        ("image_suite", "panoptic", (), "plus mean mask logit"),
    ],
)
def test_each_head_of_a_joint_model_is_explained(name, task, options, target, images, tmp_path):
    assert run(images / "a.png", "--task", task, *options, name=name, out=tmp_path / "out") == 0
    (line,) = lines_of(tmp_path / "out")
    assert line["task"] == task
    assert target in line["target"]


def test_an_image_without_a_box_is_reported_with_the_option_of_the_head(images, tmp_path, capsys):
    assert run(images / "a.png", "--task", "detection", name="road_scene_lite", out=tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "the model finds no box in this input" in said
    assert f"--cfg-options {SCORES}=0 keeps boxes of any score" in said


def test_a_phrase_is_explained_and_registration_is_refused(images, tmp_path, capsys):
    assert run(images / "a.png", "--text", "left box", name="lavt_refcoco", out=tmp_path / "out") == 0
    assert '"left box"' in lines_of(tmp_path / "out")[0]["target"]
    pair = ("--fixed", images / "a.png", "--moving", images / "a.png")
    assert run(*pair, name="voxelmorph_2d", out=tmp_path / "pair") == 2
    assert "registration: expected a task with one value to explain" in capsys.readouterr().err


def test_a_group_is_one_forward_pass(images, tmp_path):
    assert run(images, name="gconet_plus_resnet50", out=tmp_path / "out") == 0
    first, last = lines_of(tmp_path / "out")
    assert first["group"] == last["group"]
    assert "2 images" in first["target"]
    assert first["value"] == last["value"]
