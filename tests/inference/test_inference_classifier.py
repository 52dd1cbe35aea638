"""A classifier on every kind of image: the same results in any batch, a table, and bars below the images."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_scenes import scene

from visionzoo import Inferencer
from visionzoo.cli.infer import main
from visionzoo.config import load_config
from visionzoo.inference.preparing import Preparation
from visionzoo.inference.preparing import test_pipeline_of as pipeline_of
from visionzoo.reports.images import side_by_side
from visionzoo.structures.class_scores import class_scores_of
from visionzoo.tasks.classification import draw_class_scores
from visionzoo.tasks.inputs.base import Source
from visionzoo.zoo import get_model

CLASSES = tuple(f"kind {i}" for i in range(7))
NAME = "bossnet_t0_imagenet"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = get_model(NAME, tiny=True, num_classes=len(CLASSES))
    with torch.no_grad():
        model.head.fc.weight.mul_(30)
    path = tmp_path_factory.mktemp("weights") / "classifier.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": {"classes": CLASSES}}}, path)
    return path


@pytest.fixture(scope="module")
def classifier(weights):
    return Inferencer(NAME, weights, tiny=True, device="cpu")


def test_the_five_best_classes_by_name(classifier):
    result = classifier.one(scene(60, 90)).result
    assert len(result) == 5
    assert result.names == CLASSES
    assert (np.diff(result.scores) <= 0).all()
    assert result.to_json()["names"] == [CLASSES[label] for label in result.labels]


@pytest.mark.parametrize("image", [scene(50, 70)[..., 0], np.dstack([scene(40, 90), scene(40, 90)[..., :1]])])
def test_images_of_one_and_four_channels(classifier, image):
    assert classifier.one(image).result.scores.sum() > 0


def test_batches_change_nothing(classifier):
    images = [scene(40 + 7 * i, 90 - 5 * i, i) for i in range(6)]
    single = [prediction.result.to_json() for prediction in classifier(images)]
    batched = [prediction.result.to_json() for prediction in classifier(images, batch_size=4)]
    for one, other in zip(single, batched):
        assert one["labels"] == other["labels"]
        np.testing.assert_allclose(one["scores"], other["scores"], atol=2e-5)


def test_the_command_writes_a_table_and_bars(weights, images, tmp_path, capsys):
    out = tmp_path / "out"
    given = [NAME, str(images), "--tiny", "--weights", str(weights), "--device", "cpu", "--vis", "overlay,side"]
    assert main([*given, "-o", str(out)]) == 1
    assert "8 of 11 images done" in capsys.readouterr().err
    records = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    good = [record for record in records if "error" not in record]
    with open(out / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["input"] for row in rows] == [record["input"] for record in good]
    assert [row["name"] for row in rows] == [record["result"]["names"][0] for record in good]
    assert all(record["task"] == "classification" for record in good)
    assert not (out / "predictions.coco.json").exists()
    assert len(list((out / "vis").glob("*"))) == 16
    assert main([*given, "-o", str(out), "--overwrite", "--score-threshold", "1"]) == 1
    with open(out / "predictions.csv", newline="") as file:
        assert {row["name"] for row in csv.DictReader(file)} == {""}


def test_imagenets_names_for_a_model_of_its_size(tmp_path):
    options = {"model.head.num_classes": 1000}
    inferencer = Inferencer(NAME, "none", tiny=True, device="cpu", options=options, allow_new=True)
    assert inferencer.class_names[:2] == ("tench", "goldfish")


def test_images_of_cifar_stay_and_photos_get_their_size():
    cfg = load_config("nasnet_cifar10").cfg
    prepare = Preparation(pipeline_of(cfg, "nasnet_cifar10", None))
    small, large = (np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8) for size in ((32, 32), (231, 417)))
    samples = [prepare(Source("a.png", each, Path("a.png"))).sample["inputs"] for each in (small, large)]
    np.testing.assert_array_equal(samples[0].permute(1, 2, 0).numpy(), small)
    assert samples[1].shape == (3, 32, 32)


def test_bars_are_as_long_as_scores():
    image = scene(400, 500)
    drawn = draw_class_scores(image, class_scores_of(np.array([0.1, 0.7, 0.2]), ("a", "b", "c")))
    assert drawn.shape[1] == 500
    assert np.array_equal(drawn[:400], image)
    coloured = (drawn[400:] != 255).any(axis=2)
    row = (drawn.shape[0] - 400) // 3
    ends = [int(np.flatnonzero(coloured[index * row]).max()) + 1 for index in range(3)]
    assert ends == [350, 100, 50]
    assert side_by_side(image, drawn).shape[0] == drawn.shape[0]


def test_scores_that_are_not_numbers_are_an_error(classifier):
    from visionzoo.errors import InputError

    with torch.no_grad():
        kept = classifier.model.head.fc.bias.clone()
        classifier.model.head.fc.bias.fill_(float("nan"))
    try:
        with pytest.raises(InputError, match="input 0: the model returns scores that are not finite"):
            classifier.one(scene(40, 40))
    finally:
        with torch.no_grad():
            classifier.model.head.fc.bias.copy_(kept)
