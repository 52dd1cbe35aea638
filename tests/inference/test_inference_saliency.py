"""Saliency on every kind of image: maps as files, areas and scores, thresholds, overlays."""

import csv
import json

import numpy as np
import pytest
import torch
from inference_scenes import scene
from PIL import Image

from visionzoo import Inferencer
from visionzoo.cli.infer import main
from visionzoo.errors import InputError
from visionzoo.reports.images import class_colour
from visionzoo.structures.saliency_maps import SaliencyMap, saliency_map_of
from visionzoo.tasks.saliency import draw_saliency
from visionzoo.zoo import get_model

NAME = "connnet_r50"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Save untrained weights whose maps vary between 0 and 1."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = get_model(NAME, tiny=True)
    with torch.no_grad():
        torch.nn.init.normal_(model.head.predictor.weight)
        logits = model(torch.randn(1, 3, 96, 96))
        model.head.predictor.bias.fill_(-float(logits.amax(1).median()))
    path = tmp_path_factory.mktemp("weights") / "saliency.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def inferencer(weights):
    return Inferencer(NAME, weights, tiny=True, device="cpu")


@pytest.mark.parametrize("image", [scene(50, 71), scene(64, 64)[..., 0], np.dstack([scene(33, 90)] * 2)[..., :4]])
def test_maps_have_the_images_size(inferencer, image):
    result = inferencer.one(image).result
    assert result.map.shape == result.mask.shape == image.shape[:2]
    assert result.map.dtype == np.float32
    assert 0 <= result.map.min() < result.map.max() <= 1
    assert result.to_json() == {"area": round(result.area, 6), "score": round(result.score, 6)}


def test_batches_change_nothing(inferencer):
    images = [scene(40 + 7 * i, 90 - 5 * i, i) for i in range(6)]
    single = [prediction.result for prediction in inferencer(images)]
    batched = [prediction.result for prediction in inferencer(images, batch_size=4)]
    for one, other in zip(single, batched):
        np.testing.assert_allclose(one.map, other.map, atol=2e-5)


def test_a_threshold_replaces_the_models_decision(inferencer):
    image = scene(60, 80)
    own, strict = inferencer.one(image).result, inferencer.one(image, score_threshold=0.3).result
    assert np.array_equal(own.map, strict.map)
    assert np.array_equal(strict.mask, strict.map >= 0.3)
    assert not np.array_equal(own.mask, strict.mask)


def test_the_command_writes_maps_and_overlays(weights, tmp_path, capsys):
    """Two inputs with one stem have separate maps; the path of each is in its line."""
    images = tmp_path / "in"
    (images / "deep").mkdir(parents=True)
    for name in ("a.jpg", "a.png", "deep/b.png"):
        Image.fromarray(scene(40, 60, len(name))).save(images / name)
    out = tmp_path / "out"
    line = [
        NAME,
        str(images),
        "-r",
        "--tiny",
        "--weights",
        str(weights),
        "-o",
        str(out),
        "--vis",
        "overlay,side",
        "-q",
    ]
    assert main(line) == 0
    rows = [json.loads(text) for text in (out / "predictions.jsonl").read_text().splitlines()]
    maps = [row["result"]["map"] for row in rows]
    assert len(set(maps)) == 3
    assert maps[2] == "raw/deep/b.png"
    inferencer = Inferencer(NAME, weights, tiny=True, device="cpu")
    for row, path in zip(rows, maps):
        grey = np.array(Image.open(out / path))
        assert grey.dtype == np.uint8
        assert grey.shape == (40, 60)
        result = inferencer.one(row["input"]).result
        assert np.array_equal(grey, result.to_grey())
        assert row["result"]["area"] == pytest.approx(result.area, abs=1e-6)
        assert row["task"] == "saliency"
    assert len(list((out / "vis").rglob("*"))) == 7  # two for each image, and a folder
    table = list(csv.DictReader((out / "predictions.csv").open()))
    assert list(table[0]) == ["input", "area", "score"]
    assert main([*line, "--overwrite", "--max-samples", "1"]) == 0
    assert len(list((out / "raw").rglob("*.png"))) == 1


# --- result in Python --- ---


def test_numbers_of_a_map():
    values = torch.tensor([[0.1, 0.6, 0.8], [0.0, 0.2, 1.0]])
    result = saliency_map_of(values[None], values[None] > 0.7)
    assert result.area == pytest.approx(2 / 6)
    assert result.score == pytest.approx(0.9)
    assert result.to_grey().tolist() == [[25, 153, 204], [0, 51, 255]]
    assert saliency_map_of(values).area == pytest.approx(3 / 6)
    assert result.above(0) is result
    assert result.above(0.15).area == pytest.approx(4 / 6)
    nothing = SaliencyMap(values.numpy(), np.zeros((2, 3), bool))
    assert (nothing.area, nothing.score) == (0, 0)


def test_maps_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="not finite"):
        saliency_map_of(torch.tensor([[0.0, float("nan")]]))


@pytest.mark.parametrize("scale", [1, 3])
def test_the_overlay_colours_the_map_and_outlines_the_mask(scale):
    image = np.full((30, 40, 3), 100, np.uint8)
    mask = np.zeros((30, 40), bool)
    mask[8:20, 10:30] = True
    drawn = draw_saliency(image, SaliencyMap(mask.astype(np.float32), mask), scale)
    assert drawn.shape == (30 * scale, 40 * scale, 3)
    assert (drawn[: 8 * scale] == 100).all()
    assert tuple(drawn[8 * scale, 10 * scale]) == class_colour(0)
    inside = drawn[14 * scale, 20 * scale].astype(float)
    np.testing.assert_allclose(inside, 0.4 * 100 + 0.6 * np.array(class_colour(0)), atol=1)
    assert (image == 100).all()
