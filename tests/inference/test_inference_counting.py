"""Counts on every kind of image: density files whose sum is the count, a table, and heat maps over the images."""

import csv
import json

import numpy as np
import pytest
import torch
from inference_scenes import save_video, scene
from numpy.testing import assert_allclose
from PIL import Image

from visionzoo import Inferencer
from visionzoo.cli.infer import main
from visionzoo.errors import ConfigError, InputError
from visionzoo.structures.counts import CrowdCount

NAME = "hmode_shanghaitech_a"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Save untrained weights whose densities are not all 0."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Inferencer(NAME, "none", tiny=True, device="cpu").model
    with torch.no_grad():
        for name, parameter in model.head.named_parameters():
            parameter.normal_(0.05 if name.endswith("bias") else 0.0, 0.1)
    path = tmp_path_factory.mktemp("weights") / "counts.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def inferencer(weights):
    return Inferencer(NAME, weights, tiny=True, device="cpu")


def infer(weights, out, *args):
    return main([NAME, *map(str, args), "--tiny", "--device", "cpu", "--weights", str(weights), "-o", str(out)])


@pytest.mark.parametrize("size", [(96, 128), (95, 126), (61, 45), (40, 33), (16, 16)])
def test_densities_sum_to_the_count(inferencer, size):
    result = inferencer.one(scene(*size)).result
    assert result.count != 0
    assert result.size == size[::-1]
    assert (result.density.dtype, result.density.ndim) == (np.float32, 2)
    assert result.density.sum() == pytest.approx(result.count, rel=1e-4)
    assert result.full_density().shape == size
    assert result.full_density().sum() == pytest.approx(result.count, rel=1e-4)


def test_batches_change_nothing(inferencer):
    images = [scene(61, 90, seed) for seed in range(3)] + [scene(60, 89, 3), scene(45, 70, 4)]
    for one, other in zip(inferencer(images), inferencer(images, batch_size=4), strict=True):
        assert_allclose(one.result.count, other.result.count, rtol=1e-3)
        assert_allclose(one.result.density, other.result.density, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_images_that_are_too_small_are_reported_and_others_are_processed(inferencer, batch_size):
    images = [scene(60, 90), scene(1, 1), scene(2, 3), scene(60, 90), scene(61, 45)]
    predictions = list(inferencer(images, batch_size=batch_size, errors="report"))
    assert [each.error is None for each in predictions] == [True, False, False, True, True]
    assert "input 1: VGG: expected images of at least 16x16 pixels, found 1x1" in str(predictions[1].error)
    with pytest.raises(InputError, match="input 1: VGG"):
        list(inferencer(images, batch_size=batch_size))


def test_a_count_has_no_threshold(inferencer):
    with pytest.raises(ConfigError, match="found counting; leave it out, or use a model of classification, "):
        inferencer.one(scene(60, 80), score_threshold=0.9)


def test_the_command_writes_densities_a_table_and_heat(weights, inferencer, tmp_path):
    images = tmp_path / "in"
    (images / "deep").mkdir(parents=True)
    for name in ("a.jpg", "a.png", "deep/b.png"):
        Image.fromarray(scene(59, 64, len(name))).save(images / name)
    (images / "x.jpg").write_bytes(b"not an image")
    out = tmp_path / "out"
    assert infer(weights, out, images, "-r", "-q", "--vis", "overlay,side") == 1
    lines = [json.loads(text) for text in (out / "predictions.jsonl").read_text().splitlines()]
    records = [line for line in lines if "error" not in line]
    assert len(lines) == 4
    assert [record["result"]["density"] for record in records] == ["raw/a.npy", "raw/a-2.npy", "raw/deep/b.npy"]
    table = list(csv.DictReader((out / "predictions.csv").open()))
    for record, row in zip(records, table, strict=True):
        result = inferencer.one(record["input"]).result
        density = np.load(out / record["result"]["density"], allow_pickle=False)
        assert density.dtype == np.float32
        assert_allclose(density, result.density, atol=1e-6)
        assert density.sum() == pytest.approx(record["result"]["count"], abs=2e-3)
        assert float(row["count"]) == record["result"]["count"]
        assert row["input"] == record["input"]
    assert sorted(path.relative_to(out / "vis").as_posix() for path in (out / "vis").rglob("*.*g")) == [
        "a-2.png", "a-2_side.png", "a.jpg", "a_side.jpg", "deep/b.png", "deep/b_side.png",
    ]  # fmt: skip


def test_videos_have_a_density_for_every_frame(weights, tmp_path):
    clip = save_video(tmp_path / "crowd.mp4", 3, (64, 96))
    out = tmp_path / "out"
    assert infer(weights, out, clip, "-q") == 0
    assert sorted(path.name for path in (out / "raw" / "crowd").iterdir()) == [f"{n:06d}.npy" for n in range(3)]
    assert (out / "vis" / "crowd.mp4").is_file()
    rows = list(csv.DictReader((out / "predictions.csv").open()))
    assert [row["input"] for row in rows] == [f"{clip}#{n:06d}" for n in range(3)]


def test_plain_images_have_no_region_of_interest():
    """The pipeline of TRANCOS loads them for the metric."""
    trancos = Inferencer("hmode_trancos", "none", tiny=True, device="cpu")
    assert isinstance(trancos.one(scene(60, 80)).result, CrowdCount)


def test_a_density_that_is_not_finite_is_an_error():
    with pytest.raises(InputError, match="not finite"):
        CrowdCount(1.0, np.array([[np.nan]], np.float32), (4, 4))
