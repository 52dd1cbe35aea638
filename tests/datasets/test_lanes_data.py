"""CULane and TuSimple on disk: lists, points, masks, invalid files, and the drawn twins."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest

from visionzoo.datasets.lanes.culane_files import ListedImage, lanes_from_text, read_lines, read_list, scenario_of
from visionzoo.datasets.lanes.slots import draw_slots, existence, lane_slots
from visionzoo.datasets.lanes.tusimple_files import read_tusimple
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import ConfigError, DataError, OutputError
from visionzoo.structures.lane_files import lines_path, lines_text, tusimple_record, write_lines, write_tusimple

CULANE = "tiny://culane?train=10&val=2&test=11&seed=3"
TUSIMPLE = "tiny://tusimple?train=9&val=2&test=4&seed=3"
SCENARIOS = ["normal", "crowd", "hlight", "shadow", "noline", "arrow", "curve", "cross", "night"]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIONZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def culane(root=CULANE, **arguments):
    return build_dataset(dict(type="CULaneDataset", data_root=str(root), **arguments), where="dataset")


def tusimple(root=TUSIMPLE, **arguments):
    return build_dataset(dict(type="TuSimpleDataset", data_root=str(root), **arguments), where="dataset")


@pytest.fixture
def copy(tmp_path):
    """Return a copy of CULane's twin that a test may damage."""
    return shutil.copytree(resolve_data_root(CULANE), tmp_path / "culane")


@pytest.fixture
def labels(tmp_path):
    """Return labels of TuSimple's twin that a test may damage."""
    return shutil.copytree(resolve_data_root(TUSIMPLE), tmp_path / "tusimple")


# --- CULane ---


def test_a_list_for_training():
    dataset = culane(split="train_gt")
    assert len(dataset) == 10
    assert dataset.metainfo["classes"] == ("far left", "left", "right", "far right")
    for index in range(10):
        sample = dataset.get_data_info(index)
        assert sample["img_path"].endswith(sample["name"])
        assert sample["name"].startswith("driver_23_30frame/05150000_0001.MP4/")
        assert sample["scenario"] is None
        mask = cv2.imread(sample["gt_path"], cv2.IMREAD_UNCHANGED)
        assert mask.shape == cv2.imread(sample["img_path"]).shape[:2] == (118, 328)
        assert sample["gt_exist"].dtype == np.float32
        assert sample["gt_exist"].tolist() == [float(k in mask) for k in (1, 2, 3, 4)]
        lanes = [lane for lane in sample["gt_lanes"] if len(lane)]
        assert len(lanes) == sample["gt_exist"].sum()
        for value, lane in zip(np.flatnonzero(sample["gt_exist"]) + 1, lanes):
            x, y = np.round(lane[(lane[:, 0] > 0) & (lane[:, 0] < 327) & (lane[:, 1] < 118)]).astype(int).T
            assert (mask[y, x] == value).mean() > 0.9  # lanes meet at the horizon


def test_blank_lines_and_empty_files_are_kept_unchanged():
    dataset = culane(split="train")
    samples = [dataset.get_data_info(index) for index in range(10)]
    assert [len(lane) for lane in samples[1]["gt_lanes"]][-1] == 0
    assert samples[7]["gt_lanes"] == []  # a crossing
    assert "gt_path" not in samples[0]
    assert any((lane[:, 0] < 0).any() for sample in samples for lane in sample["gt_lanes"])
    assert samples[0]["gt_lanes"][1][:2, 1].tolist() == [118.0, 116.0]


def test_single_and_joined_scenarios():
    together = culane(split="test_split")
    assert len(together) == 11
    order = [together.get_data_info(index)["scenario"] for index in range(11)]
    assert order == ["normal"] * 2 + ["crowd"] * 2 + SCENARIOS[2:]
    for number, scenario in enumerate(SCENARIOS):
        dataset = culane(split=f"test{number}_{scenario}")
        assert {dataset.get_data_info(index)["scenario"] for index in range(len(dataset))} == {scenario}
    assert len(culane(split="test")) == 11
    assert len(culane(split="val_gt")) == len(culane(split="val")) == 2


def test_lists_without_leading_slashes_are_the_same(copy):
    expected = culane(split="train_gt")
    path = copy / "list" / "train_gt.txt"
    path.write_text(path.read_text().replace(" /", " ").replace("\n/", "\n")[1:] + "\n \n")
    assert not path.read_text().startswith("/")
    sample = culane(copy, split="train_gt")
    assert len(sample) == len(expected)
    assert sample.get_data_info(4)["name"] == expected.get_data_info(4)["name"]
    assert sample.get_data_info(4)["gt_path"].startswith(str(copy / "laneseg_label_w16"))


def test_lanes_can_be_left_unread_and_samples_be_fewer():
    dataset = culane(split="train_gt", with_lanes=False, max_samples=3)
    assert len(dataset) == 3
    assert "gt_lanes" not in dataset.get_data_info(0)


def test_a_layout_that_is_not_culanes(tmp_path, copy):
    with pytest.raises(DataError, match=r"expected CULane's folder list, found no such folder.*--tiny"):
        culane(tmp_path)
    with pytest.raises(DataError, match=r"expected the list train_gt2.txt, found none; did you mean 'train_gt'"):
        culane(copy, split="train_gt2")
    (copy / "list" / "train_gt.txt").unlink()
    with pytest.raises(DataError, match=r"expected the list train_gt.txt, found none"):
        culane(copy, split="train_gt")
    (copy / "list" / "test_split" / "test3_shadow.txt").unlink()
    with pytest.raises(DataError, match=r"lists of 9 scenarios, found 1 missing \(test3_shadow.txt\)"):
        culane(copy, split="test_split")


def test_missing_images_masks_and_points(copy):
    dataset = culane(copy, split="train_gt")
    name = dataset.get_data_info(0)["name"]
    (copy / lines_path(name)).unlink()
    with pytest.raises(DataError, match=r"00000.lines.txt: file: expected the lanes of an image, found no such file"):
        culane(copy, split="train_gt")
    assert len(culane(copy, split="train_gt", with_lanes=False)) == 10
    (copy / "laneseg_label_w16" / name).with_suffix(".png").unlink()
    with pytest.raises(DataError, match=r"the 10 masks that the list names, found 1 missing \(laneseg_label_w16/dri"):
        culane(copy, split="train_gt")
    shutil.rmtree(copy / "driver_23_30frame")
    with pytest.raises(DataError, match=r"the 10 images that the list names, found 10 missing \(driver_23"):
        culane(copy, split="train")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("/a.jpg /a.png", "columns: expected an image, .* found '/a.jpg /a.png'"),  # a mask without existence
        ("/a.jpg /a.png 1 1 2 0", "columns: expected an image, .* found '/a.jpg /a.png 1 1 2 0'"),
        ("/a.jpg /a.png 1 1 x 0", "columns: expected an image"),
        ("/a.jpg /a.png 1 1 1.0 0", "columns: expected an image"),
        ("/a.jpg", "columns: expected 4 numbers of lanes as in the first line, found 0"),
        ("/a.jpg /a.png 1 1 1", "columns: expected 4 numbers of lanes as in the first line, found 3"),
        ("/../a.jpg /a.png 1 1 1 0", "path: .*found a path that leaves the folder"),
        ("/a.jpg /b/../../a.png 1 1 1 0", "path: .*found a path that leaves the folder"),
        ("/" + "a" * 300 + ".jpg /a.png 1 1 1 0", "path: .*found a path that is too long"),
        ("/a\0.jpg /a.png 1 1 1 0", "path: .*found a text that is not a path"),
    ],
)
def test_lines_of_lists_that_are_broken(copy, line, what):
    path = copy / "list" / "train_gt.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"train_gt.txt: line 11: {what}"):
        read_list(path)


def test_a_list_without_existence_numbers_or_without_lanes(copy):
    path = copy / "list" / "train_gt.txt"
    lines = [line.split() for line in path.read_text().splitlines()]
    path.write_text("".join(" ".join(words[:2]) + "\n" for words in lines))
    with pytest.raises(DataError, match=r"found 10 errors \(10 columns\)"):
        culane(copy, split="train_gt")
    path.write_text("".join(" ".join(words[:2]) + " 0 0 0 0\n" for words in lines))
    with pytest.raises(DataError, match="expected at least one lane, found 0 in all columns"):
        culane(copy, split="train_gt")


def test_empty_lists(copy):
    (copy / "list" / "train_gt.txt").write_text("\n \n")
    with pytest.raises(DataError, match="expected at least one image, found an empty list"):
        culane(copy, split="train_gt")


# --- lines of points ---


def test_lanes_of_a_text():
    lanes = lanes_from_text("-3.5 590 12 580 \n\n7 7\n1 2 1 2 1 2\r\n", "x")
    assert [len(lane) for lane in lanes] == [2, 0, 1, 3]
    assert lanes[0].tolist() == [[-3.5, 590.0], [12.0, 580.0]]
    assert lanes_from_text("", "x") == []
    assert [len(lane) for lane in lanes_from_text("1 2", "x")] == [1]
    assert [len(lane) for lane in lanes_from_text("\n", "x")] == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n", r"a/b.lines.txt: line 1: points: expected pairs of numbers .*found 3 numbers"),
        ("1 2\n\n1 2 x 4\n", r"line 3: points: .*found 'x' in '1 2 x 4'"),
        ("1 2\n1 2 3\n1 2 x\n", r"(?s)found 2 errors .*line 2.*line 3"),
        ("1,2", "found '1,2' in '1,2'"),
        ("1 1_0", "found '1_0'"),
        ("1 1e7", "found '1e7'"),
        ("1 " + "9" * 5000, "found '9999"),
        ("1 １２", "line 1"),
        ("1 0x10", "line 1"),
        ("1 nan\n", "line 1"),
        ("1 2 inf 4", "line 1"),
    ],
)
def test_broken_lines_name_their_place(text, message):
    with pytest.raises(DataError, match=message):
        lanes_from_text(text, "a/b.lines.txt")


def test_what_is_written_is_read_again(tmp_path):
    lanes = [np.array([[-10.25, 590], [3.0004, 580]]), np.zeros((0, 2)), np.ones((1, 2)), np.array([[1e5, 2], [3, 4]])]
    path = write_lines(tmp_path, "/clip.MP4/00000.jpg", lanes)
    assert path == tmp_path / "clip.MP4" / "00000.lines.txt"
    assert path.read_text() == "-10.25 590 3 580\n100000 2 3 4\n"
    assert [lane.tolist() for lane in read_lines(path)] == [[[-10.25, 590], [3, 580]], [[1e5, 2], [3, 4]]]
    assert lines_text([]) == ""
    assert write_lines(tmp_path, "empty.jpg", []).read_text() == ""
    with pytest.raises(OutputError, match="expected to write lanes here"):
        write_lines(path, "a.jpg", [])


def test_lists_and_names(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf/x/1.jpg\r\n\r\nx/my 2.JPG \n")
    assert read_list(path) == [ListedImage("x/1.jpg"), ListedImage("x/my 2.JPG")]
    path.write_text("/x/my 1.jpg /m/my 1.png  1 0\n//x/2.jpg\tm/2.png 0 0\n/x/2.jpg m/2.png 0 0\n")
    assert read_list(path) == [
        ListedImage("x/my 1.jpg", "m/my 1.png", (1, 0)),
        ListedImage("x/2.jpg", "m/2.png", (0, 0)),
    ]
    path.write_text("/x/1.jpg /m/1.png 1 0\n/x/1.jpg /m/1.png 1 1\n")
    with pytest.raises(DataError, match=r"line 2: image: expected the mask and lanes of the earlier line"):
        read_list(path)
    assert scenario_of("test3_shadow.txt") == scenario_of("test3_shadow") == "shadow"
    assert scenario_of("test") is None
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not valid UTF-8"):
        read_list(tmp_path / "b.txt")


# --- TuSimple ---


def test_tusimple_samples():
    dataset = tusimple()
    assert len(dataset) == 9
    dates = {dataset.get_data_info(index)["raw_file"].split("/")[1] for index in range(9)}
    assert dates == {"0313-1", "0601"}
    firsts = set()
    for index in range(9):
        sample = dataset.get_data_info(index)
        assert sample["img_path"].endswith(sample["raw_file"])
        rows, xs = np.array(sample["h_samples"]), sample["gt_x"]
        firsts.add(int(rows[0]))
        assert xs.shape == (len(sample["gt_lanes"]), len(rows))
        for x, lane in zip(xs, sample["gt_lanes"]):
            assert len(lane) == (x >= 0).sum() > 1
            assert (np.diff(lane[:, 1]) > 0).all()
            np.testing.assert_array_equal(lane[:, 0], x[x >= 0])
        assert sample["gt_exist"].shape == (4,)
        assert sample["gt_exist"].sum() == min(len(xs), 4) - (len(xs) > 4 and sample["gt_exist"].sum() < 4)
    assert firsts == {40, 60}


def test_splits_and_files_of_tusimple():
    assert len(tusimple(label_files="label_data_0531.json")) == 2
    assert len(tusimple(label_files=["test_label.json"], max_samples=3)) == 3


def test_tusimple_without_lanes(labels):
    record = read_tusimple(labels / "test_label.json")[0]
    write_tusimple(labels / "one.json", [{**record, "lanes": []}])
    with pytest.raises(DataError, match="expected at least one lane of several points"):
        tusimple(labels, label_files="one.json")
    sample = tusimple(labels, label_files=["one.json", "label_data_0313.json"]).get_data_info(0)
    assert sample["gt_lanes"] == []
    assert sample["gt_x"].shape == (0, len(record["h_samples"]))
    assert sample["gt_exist"].tolist() == [0, 0, 0, 0]


def test_tusimple_files_that_are_wrong(labels):
    path = labels / "one.json"
    record = read_tusimple(labels / "test_label.json")[0]

    def error_of(text):
        path.write_text(text)
        with pytest.raises(DataError) as caught:
            tusimple(labels, label_files="one.json")
        return str(caught.value)

    good = json.dumps(record)
    assert "expected one JSON object per line, found an empty file" in error_of(" \n")
    assert "one.json: line 2: JSON: expected a JSON object, found none" in error_of(good + "\n{\n")
    assert "line 1: keys: expected an object with raw_file, lanes, h_samples, found lanes missing" in error_of(
        json.dumps({"raw_file": "a", "h_samples": []})
    )
    assert f"'{record['raw_file']}': raw_file: expected every image once" in error_of(f"{good}\n{good}\n")
    assert "found 1 missing (clips/x.jpg)" in error_of(json.dumps({**record, "raw_file": "clips/x.jpg"}))
    path.unlink()
    with pytest.raises(DataError, match=r"expected the label files one.json, found one.json missing \(there: label_da"):
        tusimple(labels, label_files="one.json")
    with pytest.raises(DataError, match=r"\(none was named\)"):
        tusimple(labels, label_files=[])


RECORD = {"raw_file": "clips/1/20.jpg", "lanes": [[5, -2], [7.5, 8]], "h_samples": [160, 170], "run_time": 5}


def read_changed(folder, changes, keys=("raw_file", "lanes", "h_samples", "run_time")):
    (folder / "a.json").write_text(json.dumps({**RECORD, **changes}))
    return read_tusimple(folder / "a.json", keys)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        *[({"lanes": value}, "lanes: expected a list of lanes") for value in (5, None, "x", {}, True, 0.5)],
        *[({"lanes": [value]}, "lane 0: x: expected a list of numbers") for value in (5, None, "x", {}, True)],
        *[({"lanes": [[5, value]]}, "lane 0: x: expected numbers up to 1e\\+06") for value in
          (None, True, "x", "NaN", float("nan"), float("inf"), 1e300, 2**70, -1e9, [5], {})],
        ({"lanes": [[5]]}, "lane 0: x: expected 2 numbers, as many as h_samples, .* found 1"),
        ({"lanes": [[5, 6], []]}, "lane 1: x: expected 2 numbers, as many as h_samples, .* found 0"),
        *[({"h_samples": value}, "h_samples: expected a list of numbers") for value in (5, None, "160", {})],
        *[({"h_samples": [160, value]}, "h_samples: expected numbers") for value in (None, True, "x", float("nan"))],
        *[({"h_samples": value}, "h_samples: expected increasing rows") for value in
          ([], [170, 160], [160, 160], [-10, 160])],
        *[({"raw_file": value}, "raw_file: .*found a value that is not text") for value in (5, None, ["a.jpg"], {})],
        *[({"raw_file": value}, "raw_file: .*found a text") for value in ("", ".", " a.jpg", "a\0.jpg", "a\n")],
        ({"raw_file": "/clips/1/20.jpg"}, "raw_file: .*found an absolute path"),
        *[({"raw_file": value}, "raw_file: .*found a path that leaves") for value in ("../a.jpg", "a/../../b.jpg")],
        *[({"raw_file": value}, "raw_file: .*found a path that is too long") for value in ("a" * 300, "a/" * 3000)],
        *[({"run_time": value}, "run_time: expected numbers") for value in (None, "x", [], float("nan"), True)],
        ({"run_time": -1}, "run_time: expected milliseconds from 0"),
    ],
)  # fmt: skip
def test_values_of_tusimple_without_a_meaning(tmp_path, changes, what):
    with pytest.raises(DataError, match=f"(?s)a.json.*line 1.*{what}"):
        read_changed(tmp_path, changes)


@pytest.mark.parametrize("text", ["[]", "5", "null", "[" * 100_000, '{"a": ' * 100_000, "x", "9" * 5000])
def test_lines_of_tusimple_that_are_no_objects(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match="line 1: JSON: expected a JSON object"):
        read_tusimple(tmp_path / "a.json")


def test_numbers_as_text_and_lanes_without_a_point_are_noted(tmp_path, notes):
    changes = {"lanes": [["5", -2], ["-2.5", -2], [-2, -2]], "h_samples": ["160", "170"], "run_time": " 5 "}
    assert read_changed(tmp_path, changes) == [{**RECORD, "lanes": [[5, -2], [-2.5, -2], [-2, -2]]}]
    assert notes == [
        "numbers as text, read as numbers (5); lanes without a point, which lower the score as in the benchmark (2)"
    ]


def test_the_same_image_under_another_spelling(tmp_path):
    lines = [json.dumps({**RECORD, "raw_file": name}) for name in ("clips/1/20.jpg", "./clips/1//20.jpg")]
    (tmp_path / "a.json").write_text("\n".join(lines))
    with pytest.raises(DataError, match="raw_file: expected every image once"):
        read_tusimple(tmp_path / "a.json")


@pytest.fixture
def notes(monkeypatch):
    """Collect the notes of readers."""
    found = []
    monkeypatch.setattr("visionzoo.datasets.findings.print_log", lambda text, *_: found.append(text.partition(": ")[2]))
    return found


def test_results_are_written_as_they_are_read(tmp_path):
    record = tusimple_record("clips/1/20.jpg", [[-2, 5.5]], [240.0, 250.25], 0.0125)
    assert record["h_samples"] == [240, 250.25]
    assert record["run_time"] == 12.5
    (tmp_path / "a.json").write_text(json.dumps(record) + "\n\n")
    records = read_tusimple(tmp_path / "a.json", ("raw_file", "lanes", "run_time"))
    assert records == [record]
    write_tusimple(tmp_path / "new" / "b.json", records)
    assert read_tusimple(tmp_path / "new" / "b.json") == records


# --- choice of the four lanes --- ---


def straight(x_top, x_bottom, points=6):
    return np.stack([np.linspace(x_top, x_bottom, points), np.linspace(100, 200, points)], axis=1)


def test_places_of_lanes_by_their_angle():
    far_left, left, right, far_right = (straight(150, x) for x in (0, 100, 200, 300))
    slots = lane_slots([right, far_left, straight(150, 500), far_right, left])
    assert [lane is expected for lane, expected in zip(slots, (far_left, left, right, far_right))] == [True] * 4
    slots = lane_slots([right, left])
    assert [lane is expected for lane, expected in zip(slots, (None, left, right, None))] == [True] * 4
    assert lane_slots([far_left, left, straight(150, 120)])[0] is left  # the outermost of three is left out
    upright = straight(150, 150)
    assert lane_slots([upright])[1] is upright  # 90 degrees count as left
    assert lane_slots([], 4) == [None] * 4
    assert [lane is not None for lane in lane_slots([left, right], 6)] == [False, False, True, True, False, False]


def test_short_lanes_keep_their_slot_but_do_not_exist():
    far_left, left = straight(150, 0), straight(150, 100, 3)
    slots = lane_slots([left, far_left, straight(150, 160, 1)])
    assert slots[0] is far_left
    assert slots[1:] == [None] * 3
    assert existence(slots).tolist() == [1, 0, 0, 0]


def test_masks_are_drawn_lane_by_lane():
    slots = [straight(150, 0), None, straight(150, 200), straight(150, 400)]
    mask = draw_slots(slots, (211, 303), 5)
    assert mask.dtype == np.uint8
    assert sorted(np.unique(mask)) == [0, 1, 3, 4]
    assert mask[200, 0] == 1
    assert mask[200, 200] == 3
    assert (mask[150] == 3).sum() in (5, 6, 7)
    assert draw_slots([None] * 4, (3, 5)).max() == 0


# --- twins ---


def test_twins_are_the_same_twice_and_others_with_another_seed(tmp_path, monkeypatch):
    for address in (CULANE, TUSIMPLE):
        first = resolve_data_root(address)
        with monkeypatch.context() as patch:
            patch.setenv("VISIONZOO_CACHE", str(tmp_path))
            again, other = resolve_data_root(address), resolve_data_root(address.replace("seed=3", "seed=4"))
        names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
        assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
        assert all((first / name).read_bytes() == (again / name).read_bytes() for name in names)
        images = [name for name in names if name.suffix == ".jpg"]
        assert any((first / name).read_bytes() != (other / name).read_bytes() for name in images)


def test_options_of_twins():
    with pytest.raises(ConfigError, match="expected test to be a whole number >= 9"):
        resolve_data_root("tiny://culane?test=8")
    root = resolve_data_root("tiny://culane?train=2&val=1&test=9&width=1640")
    sample = culane(root, split="train_gt").get_data_info(0)
    assert cv2.imread(sample["img_path"]).shape == (590, 1640, 3)
    assert np.diff(sample["gt_lanes"][0][:, 1]).tolist()[0] == -10.0
