"""The count metric of samples, of several processes, and inside a region; counts as structures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from counting_ranks import COUNT, sample

from visionzoo.errors import ConfigError, DataError, InputError, UnknownName
from visionzoo.metrics.counting import CountMetric, count_errors, game, nwpu
from visionzoo.ops.density_maps import count_map
from visionzoo.registry import METRICS
from visionzoo.structures.counts import CrowdCount, count_of
from visionzoo.structures.task_sample import TaskSample

HERE = Path(__file__).resolve().parent
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
SAMPLES = [sample(index) for index in range(COUNT)]


def evaluate(metric, samples):
    metric.process({}, samples[:2])
    metric.process({}, samples[2:])
    return metric.evaluate(len(samples))


# --- numbers ---


def test_counts_are_points_and_not_sums_of_maps():
    numbers = evaluate(METRICS.build({"type": "CountMetric"}), SAMPLES)
    errors = count_errors([float(s["pred_count"]) for s in SAMPLES], [len(s["gt_points"]) for s in SAMPLES])
    assert numbers == {
        "count/MAE": errors.mae,
        "count/RMSE": errors.rmse,
        "count/NAE": errors.nae,
        "count/images": COUNT,
    }
    assert all(type(value) is float for value in numbers.values())
    odd = {**SAMPLES[0], "gt_count": torch.tensor(1e9)}
    assert evaluate(CountMetric(), [odd])["count/MAE"] < 1e3
    single = {**SAMPLES[0], "gt_points": None, "gt_count": torch.tensor(2.5), "pred_count": torch.tensor(4.0)}
    assert evaluate(CountMetric(prefix="cells"), [single])["cells/MAE"] == 1.5


def test_what_a_head_leaves_on_a_task_sample():
    packed = TaskSample(metainfo={key: SAMPLES[1][key] for key in ("img_path", "ori_shape", "level")})
    for key in ("gt_points", "pred_density", "pred_count"):
        packed.set_data({key: SAMPLES[1][key]})
    metric = CountMetric(game_levels=[1])
    assert evaluate(metric, [packed.to_dict()]) == pytest.approx(evaluate(metric, SAMPLES[1:2]))


def test_game_of_the_full_size_density():
    numbers = evaluate(CountMetric(game_levels=(0, 3)), SAMPLES)
    expected = []
    for one in SAMPLES:
        height, width = one["ori_shape"]
        density = count_of(one, (width, height)).full_density()
        expected.append(game(density, count_map(one["gt_points"].numpy(), (height, width)), 3))
    assert numbers["count/GAME3"] == pytest.approx(np.mean(expected))
    assert numbers["count/GAME0"] == pytest.approx(numbers["count/MAE"])


def test_categories_and_their_means(monkeypatch):
    messages = []
    monkeypatch.setattr(nwpu, "print_log", lambda text, *_: messages.append(text))
    numbers = evaluate(CountMetric(categories=("level", "luminance", "weather")), SAMPLES)
    chosen = [s for s in SAMPLES if s["luminance"] == 1]
    errors = count_errors([float(s["pred_count"]) for s in chosen], [len(s["gt_points"]) for s in chosen])
    assert (numbers["count/MAE/L1"], numbers["count/RMSE/L1"], numbers["count/NAE/L1"]) == pytest.approx(errors.row())
    assert numbers["count/MAE_luminance"] == pytest.approx(np.mean([numbers[f"count/MAE/L{i}"] for i in range(4)]))
    assert numbers["count/NAE/S0"] == numbers["count/MAE/S4"] == -1  # no people at level 0, no image of level 4
    assert "count/MAE/rain" in numbers
    assert "count/MAE_weather" not in numbers
    assert len(messages) == 1


def test_only_inside_the_region():
    roi = np.zeros((8, 12), np.uint8)
    roi[:, :6] = 1
    one = {
        "ori_shape": (8, 12),
        "gt_points": np.array([[1.0, 1.0], [5.9, 7.0], [6.0, 1.0], [11.0, 3.0]]),
        "gt_roi": torch.from_numpy(roi),
        "pred_count": torch.tensor(24.0),
        "pred_density": torch.ones(4, 6),
    }
    numbers = evaluate(CountMetric(game_levels=(0, 1)), [one])
    assert numbers["count/MAE"] == numbers["count/GAME0"] == pytest.approx(10)
    assert numbers["count/GAME1"] == pytest.approx(5 + 5)
    assert evaluate(CountMetric(), [one])["count/MAE"] == pytest.approx(10)
    with pytest.raises(DataError, match="expected gt_roi of 12x8 pixels like the original image, found 6x8"):
        CountMetric().process({}, [{**one, "gt_roi": roi[:, :6]}])


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        ({"pred_count": None}, {}, "expected pred_count in every sample, found none in 2.jpg; the model's head"),
        ({"gt_points": None, "gt_count": None}, {}, "expected gt_count .* use a split with annotations"),
        ({"pred_density": None}, {"game_levels": (1,)}, "expected pred_density .* in 2.jpg"),
        ({"gt_points": None}, {"game_levels": (1,)}, "expected gt_points .* in 2.jpg"),
        ({"level": None}, {"categories": "level"}, "expected level .* in 2.jpg"),
    ],
)
def test_samples_that_cannot_be_measured(change, arguments, words):
    with pytest.raises(DataError, match=words):
        CountMetric(**arguments).process({}, [SAMPLES[2] | change])


def test_wrong_use():
    with pytest.raises(ConfigError, match="game_levels: expected a list of items"):
        CountMetric(game_levels=(-1,))
    with pytest.raises(UnknownName, match="no category of CountMetric is called 'levels'; did you mean 'level'"):
        CountMetric(categories=("levels",))
    with pytest.raises(DataError, match="level: expected a number from 0 to 4"):
        evaluate(CountMetric(categories="level"), [SAMPLES[0] | {"level": 7}])


def run_ranks(folder, *launcher):
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, *launcher, str(HERE / "counting_ranks.py")]
    done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [json.loads(row) for row in done.stdout.splitlines() if row.startswith("{")]


def test_two_processes_return_the_numbers_of_one(tmp_path):
    reports = run_ranks(tmp_path, *TWO)
    assert [rank["share"] for rank in reports] == [4, 4]  # one sample occurs in both
    expected = evaluate(CountMetric(game_levels=(0, 2), categories=("level",)), SAMPLES)
    for rank in reports:
        assert rank["numbers"] == pytest.approx(expected, abs=1e-9)


# --- counts as structures ---


@pytest.mark.parametrize("size", [(12, 8), (13, 9), (3, 2), (1, 30)])
def test_a_density_of_the_images_size_has_the_same_sum(size):
    density = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    full = CrowdCount(float(density.sum()), density, size).full_density()
    assert full.dtype == np.float32
    assert full.shape == size[::-1]
    assert full.sum(dtype=float) == pytest.approx(density.sum(dtype=float), rel=1e-5)


def test_a_pixel_has_its_share_of_its_cell():
    density = np.array([[4.0, 2.0]], np.float32)
    full = CrowdCount(6.0, density, (5, 1)).full_density()  # columns 0 to 2 belong to the first cell
    np.testing.assert_allclose(full, [[4 / 3, 4 / 3, 4 / 3, 1, 1]], rtol=1e-6)


def test_what_is_written_of_a_count():
    result = count_of(dict(pred_count=torch.tensor(2.34567), pred_density=torch.ones(1, 2, 3)), (12, 8))
    assert result.density.shape == (2, 3)
    assert result.to_json() == result.to_row() == {"count": 2.346}
    assert result.above(0.9) is result
    with pytest.raises(InputError, match="not finite"):
        count_of(dict(pred_count=torch.tensor(float("nan")), pred_density=torch.ones(2, 3)), (12, 8))
