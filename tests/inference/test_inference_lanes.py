"""Lanes on roads of every kind: files that the readers and metrics of both benchmarks accept, and curves."""

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
from visionzoo.datasets.lanes.culane_files import read_lines
from visionzoo.datasets.lanes.tusimple_files import read_tusimple
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.inference.resuming import remove_old_results
from visionzoo.metrics.lanes.folders import score_culane_folders
from visionzoo.structures.lanes import Lanes
from visionzoo.tasks import task_of

EVERY_LANE = ["model.head.exist_threshold=0.0", "model.head.rows={'kind': 'culane', 'threshold': 0.0}"]
EXISTING = ["model.head.exist_threshold=0.5"]
TUSIMPLE_ROWS = ["model.head.exist_threshold=0.0", "model.head.rows.threshold=0.0"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Save untrained weights; with the options above, lanes have points on nearly all rows."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "lanes.pth"
    torch.save({"state_dict": Inferencer("scnn_culane", "none", tiny=True, device="cpu").model.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def inferencer(weights):
    return Inferencer("scnn_culane", weights, tiny=True, device="cpu", options=EVERY_LANE)


def infer(weights, out, *args, options=EVERY_LANE, name="scnn_culane"):
    fixed = ["--tiny", "--device", "cpu", "--weights", str(weights), "-q", "-o", str(out)]
    return main([name, *map(str, args), *fixed, "--cfg-options", *options])


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def same(one, other):
    assert one.slots == other.slots
    assert_allclose(one.scores, other.scores, atol=1e-5)
    for first, second in zip(one.points, other.points, strict=True):
        assert np.array_equal(first[:, 1], second[:, 1])
        assert (np.abs(first[:, 0] - second[:, 0]) < 1e-6).mean() > 0.9  # where two columns are equal, either may win


# --- results ---


@pytest.mark.parametrize("size", [(118, 328), (96, 161), (61, 45), (2, 3), (1, 1)])
def test_lanes_are_in_pixels_of_any_image(inferencer, size):
    result = inferencer.one(scene(*size)).result
    assert len(result) >= 1
    assert sorted(set(result.slots)) == list(result.slots)
    assert set(result.slots) <= set(range(4))
    for lane in result.points:
        assert lane.shape[1] == 2
        assert lane.dtype == np.float64
        assert (np.diff(lane[:, 1]) < 0).all()  # from bottom to top
        assert lane.min() >= 0
        assert (lane <= size[::-1]).all()
    assert all(0 <= score <= 1 for score in result.scores)


def test_batches_change_nothing(inferencer):
    images = [scene(118, 328, seed) for seed in range(3)] + [scene(60, 90, seed) for seed in range(3)]
    for one, other in zip(inferencer(images), inferencer(images, batch_size=4), strict=True):
        same(one.result, other.result)


def test_a_threshold_leaves_lanes_out(inferencer):
    image = scene(118, 328)
    every = inferencer.one(image).result
    best = max(every.scores)
    kept = inferencer.one(image, score_threshold=best).result
    assert len(every) > 1
    assert kept.scores == (best,)
    assert kept.slots == (every.slots[every.scores.index(best)],)


def test_untrained_models_may_find_nothing(weights):
    strict = ["model.head.exist_threshold=1.0"]
    prediction = Inferencer("scnn_culane", weights, tiny=True, device="cpu", options=strict).one(scene(50, 70))
    assert prediction.result.to_json() == {"lanes": [], "scores": [], "slots": []}


# --- files ---


def test_the_command_writes_both_formats_a_table_and_curves(weights, inferencer, tmp_path):
    images = tmp_path / "in"
    (images / "deep").mkdir(parents=True)
    for name in ("a.jpg", "a.png", "deep/b.png"):
        Image.fromarray(scene(59, 164, len(name))).save(images / name)
    (images / "x.jpg").write_bytes(b"not an image")
    out = tmp_path / "out"
    assert infer(weights, out, images, "-r", "--vis", "overlay,side") == 1
    records = [record for record in lines(out / "predictions.jsonl") if "error" not in record]
    paths = [record["result"].pop("lines") for record in records]
    assert paths == ["lines/a.lines.txt", "lines/a-2.lines.txt", "lines/deep/b.lines.txt"]
    for record, path in zip(records, paths, strict=True):
        result = inferencer.one(record["input"]).result
        assert record["task"] == "lanes"
        assert record["result"] == result.to_json()
        written = read_lines(out / path)
        assert [len(lane) for lane in written] == [len(lane) for lane in result.points]
        for one, other in zip(written, result.points, strict=True):
            assert_allclose(one, other, atol=1e-3)
    table = list(csv.DictReader((out / "predictions.csv").open()))
    assert [row["input"].rpartition("/")[2] for row in table] == ["a.jpg", "a.png", "b.png"]
    assert [int(row["lanes"]) for row in table] == [len(record["result"]["lanes"]) for record in records]
    assert sorted(path.relative_to(out / "vis").as_posix() for path in (out / "vis").rglob("*.*g")) == [
        "a-2.png", "a-2_side.png", "a.jpg", "a_side.jpg", "deep/b.png", "deep/b_side.png",
    ]  # fmt: skip
    official = read_tusimple(out / "tusimple.json", ("raw_file", "lanes", "h_samples", "run_time"))
    assert [record["raw_file"] for record in official] == ["a.jpg", "a.png", "deep/b.png"]
    assert all(0 < record["run_time"] < 60_000 for record in official)
    own = sorted({y for lane in inferencer.one(images / "a.jpg").result.points for y in lane[:, 1]})
    assert_allclose(official[0]["h_samples"], own, atol=1e-3)


def test_images_of_720_rows_have_tusimples_rows(tmp_path):
    Image.fromarray(scene(720, 1280)).save(tmp_path / "20.jpg")
    out = tmp_path / "out"
    args = [tmp_path / "20.jpg", "--vis", "none", "--allow-new"]
    assert infer("none", out, *args, options=TUSIMPLE_ROWS, name="scnn_tusimple") == 0
    (record,) = read_tusimple(out / "tusimple.json")
    assert record["h_samples"] == list(range(160, 720, 10))
    assert all(len(lane) == 56 for lane in record["lanes"])
    (line,) = lines(out / "predictions.jsonl")
    for xs, points in zip(record["lanes"], line["result"]["lanes"], strict=True):
        by_row = dict(zip(record["h_samples"], xs, strict=True))
        assert all(by_row[y] == x for x, y in points)
        assert sum(x >= 0 for x in xs) >= len(points)


def test_the_folder_of_lines_is_one_that_culanes_evaluation_reads(weights, tmp_path):
    """Folders and names are those of the data set when its root is given."""
    root = resolve_data_root("tiny://culane?train=4&val=2&test=9&seed=0")
    assert infer(weights, tmp_path / "out", root, "-r", "--vis", "none") == 0
    listed = root / "list" / "test_split"
    scores = score_culane_folders(tmp_path / "out" / "lines", root, listed, size=(328, 118), width=6)
    assert scores.without_prediction == ()
    assert scores.images == 9
    tested = [record for record in lines(tmp_path / "out" / "predictions.jsonl") if _is_listed(record, listed)]
    assert len(tested) == 9
    assert scores.total.tp + scores.total.fp == sum(len(record["result"]["lanes"]) for record in tested) > 9


def _is_listed(record, lists):
    return any(record["input"].endswith(line) for path in lists.iterdir() for line in path.read_text().split())


def test_the_tusimple_file_is_one_that_its_benchmark_reads(tmp_path, monkeypatch):
    root = resolve_data_root("tiny://tusimple?train=4&val=2&test=9&seed=0")
    labels = next(root.rglob("test_label*.json"))
    names = [record["raw_file"] for record in read_tusimple(labels)]
    (tmp_path / "list.txt").write_text("\n".join(names))
    monkeypatch.chdir(root)
    out = tmp_path / "out"
    assert infer("none", out, f"@{tmp_path / 'list.txt'}", "--vis", "none", options=EXISTING, name="scnn_tusimple") == 0
    assert [record["raw_file"] for record in lines(out / "tusimple.json")] == names


def test_videos_have_lanes_for_every_frame(weights, tmp_path):
    clip = save_video(tmp_path / "drive.mp4", 4, (118, 328))
    out = tmp_path / "out"
    assert infer(weights, out, clip) == 0
    assert [record["raw_file"] for record in lines(out / "tusimple.json")] == [f"drive/{n:06d}.jpg" for n in range(4)]
    assert len(list((out / "lines" / "drive").glob("*.lines.txt"))) == 4
    assert (out / "vis" / "drive.mp4").is_file()


def test_no_lanes_are_an_empty_file_and_an_empty_list(tmp_path):
    row = task_of("lanes")
    nothing = Lanes((), (), ())
    (file,) = row.files
    assert file.content(nothing) == b""
    assert row.lines.line(nothing, "a.jpg", (90, 60), 0.05) == {
        "raw_file": "a.jpg", "lanes": [], "h_samples": [], "run_time": 50.0,
    }  # fmt: skip
    assert row.lines.line(nothing, "a.jpg", (1280, 720), 0.05)["h_samples"] == list(range(160, 720, 10))


def test_whole_rows_are_whole_numbers():
    lane = np.array([[10.0, 50.0], [12.0, 40.0], [13.0, 30.25]])
    line = task_of("lanes").lines.line(Lanes((lane,), (0.9,), (1,)), "a.jpg", (90, 60), 0.01)
    assert json.dumps(line["h_samples"]) == "[30.25, 40, 50]"
    assert line["lanes"] == [[13.0, 12.0, 10.0]]


def test_only_old_results_are_removed(weights, tmp_path):
    Image.fromarray(scene(59, 164)).save(tmp_path / "a.jpg")
    out = tmp_path / "out"
    infer(weights, out, tmp_path / "a.jpg")
    (out / "mine.txt").write_text("mine")
    remove_old_results(out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
