"""Saliency scores of samples, of several processes, and of folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from saliency_ranks import COUNT, sample

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.metrics.saliency import SaliencyMetric, SaliencyScores, score_folders, score_pair, scores
from visionzoo.registry import METRICS
from visionzoo.structures.task_sample import TaskSample

HERE = Path(__file__).resolve().parent
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def numbers_of(samples, protocol, measures=None):
    whole = SaliencyScores()
    for one in samples:
        whole.add(score_pair(one["pred_map"], one["gt_map"], protocol, measures))
    return {f"sal/{name}": value for name, value in whole.summary().items()}


def evaluate(metric, samples):
    metric.process({}, samples[:2])
    metric.process({}, samples[2:])
    return metric.evaluate(len(samples))


@pytest.mark.parametrize("protocol", ["pysod", "gconet"])
def test_numbers_of_samples(protocol):
    samples = [sample(index) for index in range(COUNT)]
    numbers = evaluate(METRICS.build({"type": "SaliencyMetric", "protocol": protocol}), samples)
    assert numbers == numbers_of(samples, protocol)
    own = {"pysod": {"sal/Emeasure_adaptive", "sal/Fmeasure_adaptive"}, "gconet": {"sal/AP", "sal/AUC"}}
    assert own[protocol] | {"sal/Smeasure", "sal/MAE", "sal/Emeasure_max", "sal/Fmeasure_mean"} <= set(numbers)
    assert numbers["sal/images"] == COUNT
    assert all(type(value) is float for value in numbers.values())
    assert 0.6 < numbers["sal/Fmeasure_max"] < 1


def test_what_a_head_leaves_on_a_task_sample():
    plain = sample(3)
    packed = TaskSample(metainfo={"img_path": plain["img_path"], "group": plain["group"]})
    packed.pred_map, packed.gt_map = plain["pred_map"][None].to(torch.bfloat16), plain["gt_map"]
    metric = SaliencyMetric(metrics="MAE", prefix="boundary", per_image=True)
    numbers = evaluate(metric, [packed.to_dict()])
    expected = score_pair(plain["pred_map"].to(torch.bfloat16), plain["gt_map"]).numbers["MAE"]
    assert numbers == {"boundary/MAE": expected, "boundary/images": 1.0}
    assert metric.per_image == [{"image": "3.png", "group": "group 1", "MAE": expected}]


def test_one_row_for_each_image():
    samples = [sample(index) for index in range(4)]
    metric = SaliencyMetric("gconet", per_image=True)
    numbers = evaluate(metric, samples)
    assert [row["image"] for row in metric.per_image] == ["0.png", "1.png", "2.png", "3.png"]
    assert metric.per_image[3]["group"] == "group 1"
    for name in ("Smeasure", "MAE", "Emeasure_mean", "Fmeasure_mean"):
        assert numbers[f"sal/{name}"] == pytest.approx(np.mean([row[name] for row in metric.per_image]), abs=1e-12)
    again = evaluate(metric, samples[:1])  # results of the first evaluation are dropped
    assert again["sal/images"] == len(metric.per_image) == 1
    quiet = SaliencyMetric("gconet")
    evaluate(quiet, samples)
    assert quiet.per_image == []


def test_only_requested_measures():
    samples = [sample(index) for index in range(3)]
    metric = SaliencyMetric(metrics=["Fmeasure_weighted", "Smeasure"])
    assert set(evaluate(metric, samples)) == {
        "sal/Fmeasure_weighted", "sal/Smeasure", "sal/Smeasure_undefined", "sal/images",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"pred_map": None}, "expected pred_map in every sample, found none in 2.png; the model's head"),
        ({"gt_map": None}, "expected gt_map in every sample, found none in 2.png; the data set"),
        ({"gt_map": torch.zeros(3, 4)}, "2.png: mask: expected uint8 with 0 to 255, or bool, found float32"),
        ({"gt_map": torch.zeros(3, 4, dtype=torch.uint8)}, r"2.png: expected a prediction of its mask's size \(3, 4\)"),
        ({"pred_map": torch.full((3, 4), -2.0)}, r"2.png: prediction: expected floats in \[0, 1\], found -2 to -2"),
    ],
)
def test_samples_that_cannot_be_scored(change, what):
    with pytest.raises(DataError, match=what):
        SaliencyMetric().process({}, [sample(2) | change])


def test_wrong_use():
    with pytest.raises(UnknownName, match="no saliency protocol is called 'matlab'"):
        SaliencyMetric("matlab")
    with pytest.raises(ConfigError, match="expected those of protocol 'gconet'"):
        SaliencyMetric("gconet", metrics=["MAE", "Fmeasure_weighted"])
    with pytest.raises(UnknownName, match="no saliency measure is called 'mae'"):
        SaliencyMetric(metrics=["mae"])


def run_ranks(folder, *launcher):
    """Return the output of ``saliency_ranks.py``, one dict per process."""
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, *launcher, str(HERE / "saliency_ranks.py")]
    done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [json.loads(row) for row in done.stdout.splitlines()]


def test_two_processes_return_the_numbers_of_one(tmp_path):
    reports = run_ranks(tmp_path, *TWO)
    assert [rank["share"] for rank in reports] == [4, 4]  # one sample occurs in both
    expected = numbers_of([sample(index) for index in range(COUNT)], "gconet")
    for rank in reports:
        assert rank["numbers"] == pytest.approx(expected, abs=1e-12)
    assert sorted(reports, key=lambda rank: len(rank["rows"]))[1]["rows"] == [f"{index}.png" for index in range(COUNT)]


# --- folders ---


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def roots(tmp_path):
    """Write two groups of different sizes; each side has an image and a group that the other side lacks."""
    for index in range(5):
        one, name = sample(index), f"{'axe' if index < 4 else 'bus'}/{index}.png"
        write(tmp_path / "pred" / name, one["pred_map"].mul(255).byte().numpy())
        write(tmp_path / "gt" / name, one["gt_map"].numpy())
    (tmp_path / "pred" / "axe" / "1.png").unlink()
    write(tmp_path / "pred" / "cup" / "0.png", np.zeros((4, 5), np.uint8))
    (tmp_path / "gt" / "axe" / "notes.txt").write_text("no image")
    return tmp_path / "pred", tmp_path / "gt"


@pytest.mark.parametrize("protocol", ["pysod", "gconet"])
def test_folders_score_as_memory_does(roots, protocol):
    report = score_folders(*roots, protocol, per_image=True)
    expected = numbers_of([sample(index) for index in (0, 2, 3, 4)], protocol)
    assert {f"sal/{name}": value for name, value in report.numbers.items()} == pytest.approx(expected, abs=1e-12)
    assert report.numbers["images"] == report.scores.images == 4
    assert report.without_prediction == ("axe/1.png",)
    assert report.without_mask == ("cup/0.png",)
    assert list(report.per_image) == ["axe/0.png", "axe/2.png", "axe/3.png", "bus/4.png"]
    scores = [pair.numbers["MAE"] for pair in report.per_image.values()]
    assert report.numbers["MAE"] == pytest.approx(np.mean(scores), abs=1e-12)  # mean over images, not over groups
    assert score_folders(*roots, protocol).per_image == {}


def test_strict_requires_both_sides_complete(roots):
    predictions, masks = roots
    with pytest.raises(DataError, match=r"pred: expected all images that .*gt has, found 1 missing \(axe/1\.png\)"):
        score_folders(predictions, masks, strict=True)
    (masks / "axe" / "1.png").unlink()
    with pytest.raises(DataError, match=r"gt: expected all images that .*pred has, found 1 missing \(cup/0\.png\)"):
        score_folders(predictions, masks, strict=True)
    (predictions / "cup" / "0.png").unlink()
    assert score_folders(predictions, masks, strict=True).numbers["images"] == 4


def test_flat_folders_and_kinds_of_images(tmp_path):
    one = sample(4)
    levels, mask = one["pred_map"].mul(255).byte().numpy(), one["gt_map"].numpy()
    write(tmp_path / "pred" / "a.png", np.repeat(levels[..., None], 3, axis=2))  # grey as RGB
    write(tmp_path / "gt" / "a.png", mask == 255)  # one bit per pixel
    assert score_folders(tmp_path / "pred", tmp_path / "gt").per_image == {}
    assert score_folders(str(tmp_path / "pred"), str(tmp_path / "gt")).numbers == {
        **score_pair(levels, mask).summary(), "images": 1.0,
    }  # fmt: skip


def test_folders_that_cannot_be_scored(roots, tmp_path):
    predictions, masks = roots
    with pytest.raises(DataError, match="none: expected a folder of images, found none"):
        score_folders(tmp_path / "none", masks)
    with pytest.raises(DataError, match="found no common name among 1 and 5"):
        score_folders(predictions / "cup", masks)
    whole = (predictions / "axe" / "2.png").read_bytes()
    (predictions / "axe" / "2.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"2\.png: expected a prediction that can be decoded"):
        score_folders(predictions, masks)
    write(predictions / "axe" / "2.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(DataError, match=r"axe/2\.png: expected a prediction of its mask's size"):
        score_folders(predictions, masks)
    assert score_folders(predictions, masks, "gconet").numbers["images"] == 4


def test_masks_of_a_group_may_be_one_tensor():
    """Images of one size are stacked, images of several sizes are a list."""
    maps = torch.rand(3, 7, 9, generator=torch.Generator().manual_seed(0))
    masks = (maps > 0.5).to(torch.uint8) * 255
    values = []
    for truth in (masks, list(masks)):
        metric = SaliencyMetric()
        metric.process({}, [{"pred_map": list(maps), "gt_map": truth, "group": "cats"}])
        values.append(metric.evaluate(1))
    assert values[0] == values[1]
    assert values[0]["sal/images"] == 3


def test_masks_without_foreground_are_stated(monkeypatch):
    texts = []
    monkeypatch.setattr(scores, "print_log", lambda text, logger, level: texts.append(text))
    mask = np.arange(12).reshape(3, 4) > 5
    metric = SaliencyMetric(protocol="gconet", metrics=["Smeasure"])
    for _ in range(2):
        metric.process(None, [{"pred_map": mask, "gt_map": each, "img_path": "a"} for each in (mask, mask & False)])
        assert metric.evaluate(size=2)["sal/images"] == 2
    assert [text.partition(";")[0] for text in texts] == ["SaliencyMetric: 1 of 2 masks have no foreground pixel (a)"]
    metric.process(None, [{"pred_map": mask, "gt_map": mask & False, "img_path": "a"}] * 2)
    with pytest.raises(DataError, match=r"expected masks with foreground pixels, found none in 2 masks \(a, a\)"):
        metric.evaluate(size=2)
