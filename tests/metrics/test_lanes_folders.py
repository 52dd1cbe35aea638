"""Lanes on disk and in mmengine's evaluator."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

from visionzoo.datasets.lanes import CULaneDataset, TuSimpleDataset
from visionzoo.datasets.lanes.tusimple_files import read_tusimple
from visionzoo.errors import ConfigError, DataError
from visionzoo.metrics.lanes import (
    CULaneMetric,
    LaneCounts,
    TuSimpleMetric,
    count_matches,
    score_culane_folders,
    score_tusimple_files,
)
from visionzoo.structures.lane_files import write_lines, write_tusimple
from visionzoo.structures.lanes import Lanes
from visionzoo.structures.task_sample import TaskSample

SIZE, WIDTH = (328, 118), 6


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIONZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def culane():
    return CULaneDataset("tiny://culane?train=2&val=1&test=20", split="test_split")


@pytest.fixture(scope="module")
def detections(culane):
    """Return detections: the truth with small shifts; some images lack the first lane or have an extra one."""
    rng = np.random.default_rng(0)
    lanes = []
    for index, sample in enumerate(culane.get_data_info(i) for i in range(len(culane))):
        moved = [lane + np.array([rng.normal(scale=1.5), 0]) for lane in sample["gt_lanes"]]
        extra = [np.array([[160.0, 118], [161, 60]])] if index % 3 == 0 else []
        lanes.append(moved[index % 4 == 1 :] + extra)
    return lanes


@pytest.fixture(scope="module")
def folder(culane, detections, tmp_path_factory):
    root = tmp_path_factory.mktemp("found")
    for index, lanes in enumerate(detections):
        write_lines(root, "/" + culane.get_data_info(index)["name"], lanes)
    return root


# --- CULane's folders ---


def test_folders_return_the_table_of_the_scenarios(culane, detections, folder):
    root = culane.data_root
    scores = score_culane_folders(folder, root, f"{root}/list/test_split", size=SIZE, width=WIDTH)
    assert scores.images == 20
    assert scores.without_prediction == ()
    assert list(scores.scenarios)[:2] == ["normal", "crowd"]
    assert len(scores.scenarios) == 9
    assert scores.total == sum(scores.scenarios.values(), LaneCounts())
    # each image separately
    expected = LaneCounts()
    for index, lanes in enumerate(detections):
        truth = culane.get_data_info(index)["gt_lanes"]
        rounded = [np.round(lane, 3) for lane in lanes]
        expected += count_matches(truth, rounded, size=SIZE, width=WIDTH).counts
    assert scores.total == expected
    assert 0.3 < scores.numbers["F1"] < 1
    assert scores.numbers["FP/cross"] == scores.scenarios["cross"].fp
    assert "total" in scores.table()


def test_processes_return_the_same_and_omit_no_image(culane, folder):
    root = culane.data_root
    arguments = dict(size=SIZE, width=WIDTH, progress=True)
    single = score_culane_folders(folder, root, f"{root}/list/test.txt", processes=1, **arguments)
    shared = score_culane_folders(folder, root, f"{root}/list/test.txt", processes=2, **arguments)
    assert shared == single
    assert single.images == 20  # in parts of 8; the last part has 4
    assert single.scenarios == {}


def test_one_list_or_lists_by_name(culane, folder):
    lists = f"{culane.data_root}/list/test_split"
    one = score_culane_folders(folder, culane.data_root, f"{lists}/test6_curve.txt", size=SIZE, width=WIDTH)
    assert list(one.scenarios) == ["curve"]
    named = score_culane_folders(
        folder, culane.data_root, {"bends": f"{lists}/test6_curve.txt"}, size=SIZE, width=WIDTH
    )
    assert named.scenarios == {"bends": one.total}


def test_missing_files_are_images_without_lanes(culane, tmp_path):
    sample = culane.get_data_info(0)
    write_lines(tmp_path, sample["name"], sample["gt_lanes"])
    scores = score_culane_folders(
        tmp_path, culane.data_root, f"{culane.data_root}/list/test.txt", size=SIZE, width=WIDTH
    )
    assert len(scores.without_prediction) == 19
    assert (scores.total.tp, scores.total.fp) == (len(sample["gt_lanes"]), 0)


def test_wrong_folders_and_broken_files(culane, folder, tmp_path):
    names = f"{culane.data_root}/list/test.txt"
    with pytest.raises(DataError, match=r"expected files such as driver_37.*found none of 20"):
        score_culane_folders(tmp_path, culane.data_root, names)
    with pytest.raises(DataError, match="found none of 20"):
        score_culane_folders(folder, tmp_path, names)
    with pytest.raises(DataError, match="found no such file"):
        score_culane_folders(folder, culane.data_root, tmp_path / "no.txt")
    with pytest.raises(DataError, match="expected lists of images"):
        score_culane_folders(folder, culane.data_root, tmp_path)
    write_lines(tmp_path, culane.get_data_info(0)["name"], []).write_text("1 2 3 4\n5 6 7\n")
    with pytest.raises(DataError, match=r"00000.lines.txt: line 2: .*found 3 numbers"):
        score_culane_folders(tmp_path, culane.data_root, names)


# --- TuSimple's files ---


@pytest.fixture(scope="module")
def labels():
    dataset = TuSimpleDataset("tiny://tusimple?train=2&val=1&test=5", label_files="test_label.json")
    return f"{dataset.data_root}/test_label.json"


def results_of(labels, **changes):
    return [{**record, "run_time": 10, **changes} for record in read_tusimple(labels)]


def test_tusimple_of_two_files(labels, tmp_path):
    records = results_of(labels)
    write_tusimple(tmp_path / "r.json", records[::-1])
    scores = score_tusimple_files(tmp_path / "r.json", labels)
    assert (scores["accuracy"], scores["FP"], scores["FN"], scores["F1"]) == (1.0, 0.0, 0.0, 1.0)
    records[0]["lanes"] = records[0]["lanes"][:-1]
    records[1]["run_time"] = 250
    write_tusimple(tmp_path / "r.json", records)
    worse = score_tusimple_files(tmp_path / "r.json", labels)
    assert worse["accuracy"] < 1
    assert worse["FN"] > 0.2
    assert 0.9 < worse["F1"] < 1  # F1 ignores time


def test_tusimple_files_that_do_not_fit(labels, tmp_path):
    path = tmp_path / "r.json"
    write_tusimple(path, results_of(labels)[1:])
    with pytest.raises(DataError, match=r"expected the 5 images.*found 1 missing \(clips/0530/60/20.jpg\)"):
        score_tusimple_files(path, labels)
    write_tusimple(path, results_of(labels) + results_of(labels)[:1])
    with pytest.raises(DataError, match=r"'clips/0530/60/20.jpg': raw_file: expected every image once"):
        score_tusimple_files(path, labels)
    write_tusimple(path, results_of(labels) + results_of(labels, raw_file="x.jpg")[:1])
    with pytest.raises(DataError, match=r"found x.jpg that is not in it"):
        score_tusimple_files(path, labels)
    write_tusimple(path, results_of(labels, lanes=[[1, 2]]))
    with pytest.raises(DataError, match="lane 0: x: expected 24 numbers"):
        score_tusimple_files(path, labels)
    rows = [row + 10 for row in read_tusimple(labels)[0]["h_samples"]]
    write_tusimple(path, [{**results_of(labels)[0], "h_samples": rows}, *results_of(labels)[1:]])
    with pytest.raises(DataError, match=r"expected the h_samples of the label in the line of clips/0530/60/20.jpg"):
        score_tusimple_files(path, labels)
    path.write_text(json.dumps({"raw_file": "a", "lanes": []}) + "\n")
    with pytest.raises(DataError, match=r"line 1: keys: expected an object.*run_time missing"):
        score_tusimple_files(path, labels)


# --- mmengine ---


def sample_of(info, lanes):
    known = {key: info[key] for key in ("img_path", "scenario", "h_samples") if key in info}
    sample = TaskSample(metainfo=known | {"ori_shape": (118, 328)})
    for key in ("gt_lanes", "gt_x"):
        if key in info:
            value = info[key]
            sample.set_data({key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value})
    sample.pred_lanes = lanes
    return sample


def test_the_metric_equals_the_folders_scores(culane, detections, folder):
    evaluator = Evaluator(CULaneMetric(SIZE, WIDTH))
    rounded = [[np.round(lane, 3) for lane in lanes] for lanes in detections]
    samples = [sample_of(culane.get_data_info(index), lanes) for index, lanes in enumerate(rounded)]
    for start in range(0, len(samples), 3):
        evaluator.process(samples[start : start + 3])
    numbers = evaluator.evaluate(len(samples))
    lists = f"{culane.data_root}/list/test_split"
    expected = score_culane_folders(folder, culane.data_root, lists, size=SIZE, width=WIDTH).numbers
    assert numbers == {f"culane/{name}": value for name, value in expected.items()}


def test_samples_that_a_sampler_repeats_count_once(culane, detections):
    metric = CULaneMetric(SIZE, WIDTH)
    infos = [culane.get_data_info(index) for index in range(3)]
    samples = [sample_of(info, lanes).to_dict() for info, lanes in zip(infos, detections)]
    metric.process(None, [*samples, samples[0]])  # as with two processes of two samples each and three samples in total
    once = CULaneMetric(SIZE, WIDTH)
    once.process(None, samples)
    assert metric.evaluate(3) == once.evaluate(3)


def test_culane_metric_refuses_what_it_cannot_measure(culane):
    info = culane.get_data_info(0)
    sample = sample_of(info, []).to_dict()
    with pytest.raises(DataError, match=r"1640x590 pixels, found 328x118 .*lane_width in proportion, 6"):
        CULaneMetric().process(None, [sample])
    for key in ("pred_lanes", "gt_lanes"):
        with pytest.raises(DataError, match=f"expected {key} in every sample"):
            CULaneMetric(SIZE, WIDTH).process(None, [{**sample, key: None}])
    for wrong in (dict(image_size=(0, 5)), dict(lane_width=0), dict(iou_thr=1.0), dict(image_size=(5,))):
        with pytest.raises(ConfigError, match=r"CULaneMetric\.(image_size|lane_width|iou_thr): expected a"):
            CULaneMetric(**wrong)


def test_tusimple_metric(labels):
    dataset = TuSimpleDataset("tiny://tusimple?train=2&val=1&test=5", label_files="test_label.json")
    evaluator = Evaluator(TuSimpleMetric(pixels=5.0))
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        upwards = [lane[::-1] for lane in info["gt_lanes"]]
        evaluator.process([sample_of(info, upwards if index else [])])
    numbers = evaluator.evaluate(len(dataset))
    lanes = [len(record["lanes"]) for record in read_tusimple(labels)]
    assert numbers["tusimple/accuracy"] == pytest.approx(0.8)
    assert numbers["tusimple/FP"] == 0.0
    assert numbers["tusimple/FN"] == pytest.approx(0.2)
    assert numbers["tusimple/F1"] == pytest.approx(2 * sum(lanes[1:]) / (2 * sum(lanes[1:]) + lanes[0]))


def test_tusimple_metric_needs_rows():
    with pytest.raises(DataError, match=r"expected h_samples in every sample.*meta_keys of PackTaskInputs"):
        TuSimpleMetric().process(None, [{"pred_lanes": [], "gt_x": np.zeros((0, 3))}])
    with pytest.raises(ConfigError, match="pixels: expected a number above 0"):
        TuSimpleMetric(pixels=0)


# --- lanes as files and rows --- ---


def test_lanes_as_files_and_rows():
    lane = np.array([[10.0, 590], [20.5, 570], [-3, 550]])
    lanes = Lanes((lane, np.array([[5.0, 5.0]]), np.zeros((0, 2))), (0.9, 0.4, 0.2), (0, 2, 3))
    assert len(lanes) == 3
    assert lanes.to_culane() == "10 590 20.5 570 -3 550\n"
    assert lanes.to_tusimple([540, 550, 560, 570, 580, 590, 600]) == [[-2, -2, 8.75, 20.5, 15.25, 10.0, -2]]
    assert lanes.above(0.4).slots == (0, 2)
    assert lanes.above(0.95).to_json() == {"lanes": [], "scores": [], "slots": []}
    assert lanes.to_json()["lanes"][0] == [[10.0, 590.0], [20.5, 570.0], [-3.0, 550.0]]
    assert lanes.to_row() == {"lanes": 3, "slots": "0 2 3", "scores": "0.9000 0.4000 0.2000"}
    json.dumps(lanes.to_json(), allow_nan=False)
