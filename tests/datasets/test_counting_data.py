"""Counting sets: the same points from every format, twins in the real layouts, and invalid files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from visionzoo.config import load_config
from visionzoo.datasets.counting import FOLDS
from visionzoo.datasets.counting.point_files import (
    checked_points,
    read_mat_points,
    read_shanghaitech_points,
    read_text_points,
)
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.tiny.crowds import TWINS, shanghaitech_info
from visionzoo.engine.loaders import build_dataset, build_loader
from visionzoo.errors import ConfigError, DataError, UnknownName

CONFIGS = Path(__file__).parents[2] / "configs"
IMAGE = np.full((9, 12, 3), 90, np.uint8)
POINTS = {
    "a": np.array([[3.0, 2.0], [11.0, 8.0], [0.0, 0.0]]),
    "b": np.zeros((0, 2)),
    "c": np.array([[5.5, 4.25], [13.0, -1.0], [5.5, 4.25]]),  # one point is outside, one occurs twice
}
WHOLE = {"a": POINTS["a"], "b": POINTS["b"], "c": np.array([[5.0, 4.0], [7.0, 1.0]])}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIONZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def build(name, root, **arguments):
    return build_dataset(dict(type=f"{name}Dataset", data_root=str(root), **arguments), where="dataset")


def samples_of(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def image(path, values=IMAGE):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), values)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def mat(path, **variables):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables)


# --- writers of every format ---


def as_shanghaitech(root, points):
    for name, each in points.items():
        image(root / f"part_A_final/train_data/images/{name}.jpg")
        mat(root / f"part_A_final/train_data/ground_truth/GT_{name}.mat", image_info=shanghaitech_info(each))
    return build("ShanghaiTech", root)


def as_ucf_qnrf(root, points):
    for name, each in points.items():
        image(root / f"Train/{name}.jpg")
        mat(root / f"Train/{name}_ann.mat", annPoints=each)
    return build("UCFQNRF", root)


def as_jhu(root, points):
    for name, each in points.items():
        image(root / f"train/images/{name}.jpg")
        text(root / f"train/gt/{name}.txt", "".join(f"{x} {y} 5 5 1 0\n" for x, y in each))
    return build("JHUCrowd", root)


def as_nwpu_mat(root, points, annotation="mat"):
    for name, each in points.items():
        image(root / f"images/{name}.jpg")
        mat(root / f"mats/{name}.mat", annPoints=each)
        text(root / f"jsons/{name}.json", json.dumps({"img_id": name, "points": each.tolist()}))
    text(root / "train.txt", "".join(f"{name} {index} {index + 2}\n" for index, name in enumerate(points)))
    return build("NWPUCrowd", root, annotation=annotation)


def as_nwpu_json(root, points):
    return as_nwpu_mat(root, points, "json")


def as_json_lines(root, points):
    for name in points:
        image(root / f"{name}.png")
    lines = [json.dumps({"image": f"{name}.png", "points": each.tolist()}) for name, each in points.items()]
    text(root / "points.jsonl", "\n\n".join(lines))
    return build("Points", root)


def as_csv(root, points):
    for name in points:
        image(root / f"images/{name}.png")
    rows = [f"{name}.png,{x},{y}" for name, each in points.items() for x, y in each.tolist() or [["", ""]]]
    text(root / "all.csv", "\n".join(["image,x,y", *rows]))
    return build("Points", root, ann_file="all.csv", img_folder="images")


def as_trancos(root, points):
    for name, each in points.items():
        image(root / f"images/{name}.jpg")
        dots = np.zeros_like(IMAGE)
        for x, y in each.astype(int):
            dots[y, x] = 0, 0, 255
        image(root / f"images/{name}dots.png", dots)
        mat(root / f"images/{name}mask.mat", BW=np.ones(IMAGE.shape[:2], np.uint8))
    text(root / "image_sets/training.txt", "a.jpg\nb\n\nc.jpg\n")
    return build("TRANCOS", root)


def as_ucf_cc_50(root, points):
    names = list(points)
    for number in range(1, 51):
        image(root / f"{number}.jpg", IMAGE[..., 0])
        mat(root / f"{number}_ann.mat", annPoints=points[names[(number - 1) % 3]])
    return build("UCFCC50", root, folds=[list(range(4, 51)), [1, 2, 3]], fold=1, split="test")


FRACTIONS = [
    as_shanghaitech, as_ucf_qnrf, as_jhu, as_nwpu_mat, as_nwpu_json, as_json_lines, as_csv, as_ucf_cc_50,
]  # fmt: skip


@pytest.mark.parametrize("write", FRACTIONS)
def test_every_format_has_the_same_points(write, tmp_path):
    samples = samples_of(write(tmp_path, POINTS))
    for sample, points in zip(samples, POINTS.values(), strict=True):
        assert sample["gt_points"].dtype == np.float64
        np.testing.assert_array_equal(sample["gt_points"], points)
        assert sample["gt_count"] == len(points)


@pytest.mark.parametrize("write", [*FRACTIONS, as_trancos])
def test_every_format_has_the_same_pixels(write, tmp_path):
    for sample, points in zip(samples_of(write(tmp_path, WHOLE)), WHOLE.values(), strict=True):
        assert sorted(sample["gt_points"].tolist()) == sorted(points.tolist())


def test_facts_of_a_sample(tmp_path):
    nwpu = samples_of(as_nwpu_mat(tmp_path / "nwpu", POINTS))
    assert [(each["luminance"], each["level"]) for each in nwpu] == [(0, 2), (1, 3), (2, 4)]
    assert nwpu[0]["img_id"] == "a"
    as_jhu(tmp_path / "jhu", POINTS)
    text(tmp_path / "jhu/train/image_labels.txt", "a,3,street, wide,2,0\nb,0,stadium,0,1\nc,3,rally,3,0\n")
    jhu = samples_of(build("JHUCrowd", tmp_path / "jhu"))
    facts = [(each["scene"], each["weather"]) for each in jhu]
    assert facts == [("street,wide", "rain"), ("stadium", "none"), ("rally", "snow")]
    assert samples_of(as_trancos(tmp_path / "trancos", WHOLE))[0]["roi_path"].endswith("images/amask.mat")
    text(tmp_path / "points.jsonl", json.dumps({"image": "a.png", "points": [[1, 2]], "level": 1, "scene": "yard"}))
    image(tmp_path / "a.png")
    (plain,) = samples_of(build("Points", tmp_path))
    assert (plain["level"], plain["scene"]) == (1, "yard")


def test_dots_of_another_size_are_an_error(tmp_path):
    as_trancos(tmp_path, WHOLE)
    image(tmp_path / "images/adots.png", np.zeros_like(IMAGE[:, :-1]))
    with pytest.raises(DataError, match=r"adots\.png: contents: expected dots of 12x9 pixels like a\.jpg, found 11x9"):
        build("TRANCOS", tmp_path)
    (tmp_path / "images/b.jpg").write_bytes(b"none")
    image(tmp_path / "images/adots.png", np.zeros_like(IMAGE))
    with pytest.raises(DataError, match=r"b\.jpg: expected an image, found a file that cannot be read"):
        build("TRANCOS", tmp_path)


def test_the_test_of_nwpu_has_no_points(tmp_path):
    as_nwpu_mat(tmp_path, POINTS)
    text(tmp_path / "test.txt", "a\nb 1 0\n")
    samples = samples_of(build("NWPUCrowd", tmp_path, split="test"))
    assert all("gt_points" not in sample and "gt_count" not in sample for sample in samples)
    assert "level" not in samples[0]
    assert samples[1]["level"] == 0
    assert len(samples_of(build("NWPUCrowd", tmp_path, split="test", labelled=True))[0]["gt_points"]) == 3


def test_images_in_order_of_their_numbers(tmp_path):
    as_ucf_qnrf(tmp_path, {f"IMG_{number}": POINTS["a"] for number in (10, 2, 1)})
    assert [each["img_id"] for each in samples_of(build("UCFQNRF", tmp_path))] == ["IMG_1", "IMG_2", "IMG_10"]
    assert len(build("UCFQNRF", tmp_path, max_samples=2)) == 2


def test_parts_of_shanghaitech(tmp_path):
    as_shanghaitech(tmp_path, POINTS)
    assert len(build("ShanghaiTech", tmp_path / "part_A_final", part=None)) == 3
    (tmp_path / "part_A_final").rename(tmp_path / "part_A")
    assert len(build("ShanghaiTech", tmp_path)) == 3
    with pytest.raises(DataError, match="part_B_final/train_data/images: expected a folder of images"):
        build("ShanghaiTech", tmp_path, part="B")
    with pytest.raises(DataError, match="expected part to be A, B or None, found 'C'"):
        build("ShanghaiTech", tmp_path, part="C")


def test_a_root_with_the_words_that_are_replaced_elsewhere(tmp_path):
    assert len(as_shanghaitech(tmp_path / "images.jpg" / "images", POINTS)) == 3


# --- folds ---


def test_folds_are_disjoint_and_cover_all():
    assert sorted(number for fold in FOLDS for number in fold) == list(range(1, 51))
    assert [len(fold) for fold in FOLDS] == [10] * 5
    numbers = {}
    for fold in range(5):
        for split in ("train", "test"):
            dataset = build("UCFCC50", "tiny://ucf_cc_50?size=48", fold=fold, split=split)
            numbers[fold, split] = {int(each["img_id"]) for each in samples_of(dataset)}
        assert numbers[fold, "train"] | numbers[fold, "test"] == set(range(1, 51))
        assert not numbers[fold, "train"] & numbers[fold, "test"]
    assert sorted(number for fold in range(5) for number in numbers[fold, "test"]) == list(range(1, 51))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(folds=[*FOLDS[:4], FOLDS[3]]), "expected every number from 1 to 50 once, found 50 numbers, 40 of them"),
        (dict(folds=FOLDS[:4]), "found 40 numbers"),
        (dict(fold=5), "expected a number from 0 to 4, found 5"),
    ],
)
def test_invalid_folds(arguments, words):
    with pytest.raises(ConfigError, match=words):
        build("UCFCC50", "tiny://ucf_cc_50?size=48", **arguments)


# --- invalid files --- ---

HDF5 = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(400)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (dict(annPoints=[[1.0, np.nan], [2, 3]]), r"expected finite points, found \(1.0, nan\) at number 1 of 2"),
        (dict(annPoints=[[1.0, 2, 3]]), "expected points of shape N x 2 .* found 1 x 3"),
        (dict(points=[[1.0, 2.0]]), "expected the variable annPoints, found points; use the files as published"),
        (dict(annPoints="many"), "a.mat: annPoints: expected points"),
        (dict(annPoints=np.array([["x"]], object)), "a.mat: annPoints: expected points"),
        (HDF5, r"found version 7.3 \(HDF5; MATLAB's save"),
        (b"", "a.mat: expected a MATLAB file, found a file that cannot be read"),
        (b"no matrix " * 40, "a.mat: expected a MATLAB file, found a file that cannot be read"),
    ],
)
def test_invalid_matlab_files(tmp_path, content, words):
    path = tmp_path / "a.mat"
    path.write_bytes(content) if isinstance(content, bytes) else savemat(path, content)
    with pytest.raises(DataError, match=words):
        read_mat_points(path)


def test_a_matlab_file_cut_off_anywhere_is_an_error(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"annPoints": POINTS["a"]}, do_compression=True)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 8, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a\.mat: expected"):
            read_mat_points(path)


@pytest.mark.parametrize("value", [np.ones((2, 2)), "text", {"location": 3.0, "number": 1.0}, {"location": "x"}])
def test_shanghaitech_of_another_layout(tmp_path, value):
    savemat(tmp_path / "a.mat", {"image_info": value})
    with pytest.raises(DataError, match=r"a\.mat: (expected image_info to be a cell|image_info.location: expected)"):
        read_shanghaitech_points(tmp_path / "a.mat")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 2 3 4 1 0\n\n5 6\n", "line 3: expected 6 numbers that begin with x and y, found '5 6'"),
        ("x y 3 4 1 0", "line 1: expected 6 numbers that begin with x and y, found"),
        ("1 2 3 4 1 0 7", "line 1: expected 6 numbers"),
        ("1 2 3 4 1 x", "line 1: expected 6 numbers"),
        ("1_0 2 3 4 1 0", "line 1: expected 6 numbers"),
        ("nan 2 3 4 1 0", "line 1: expected 6 numbers"),
        ("1e999 2 3 4 1 0", r"expected finite points, found \(inf, 2.0\) at number 1 of 1"),
        ("1e9 2 3 4 1 0", r"expected points within 1,000,000 pixels, found \(1000000000.0, 2.0\)"),
        (b"\xff\xfe1", "not valid UTF-8"),
    ],
)
def test_invalid_texts(tmp_path, content, words):
    path = tmp_path / "a.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=words):
        read_text_points(path, columns=(6,))


def test_negative_points_and_points_outside_are_kept():
    points = [[-3.5, 7.0], [1e6, -2], [0, 0]]
    np.testing.assert_array_equal(checked_points(points, "here"), points)
    assert checked_points(np.zeros((0, 0)), "here").shape == (0, 2)


def write_line(root, line, name="points.jsonl"):
    image(root / "a.png")
    text(root / name, line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "expected at least one image, found an empty list"),
        ("{", "line 1: text: expected a JSON object, found other text"),
        ("[1]", r"line 1: text: expected a JSON object, found \[1\]"),
        ('{"image": "a.png"}', "line 1: fields: expected image and points"),
        ('{"image": "a.png", "points": [], "boxes": []}', "line 1: fields: expected image and points"),
        (
            '{"image": "a.png", "points": [[1]]}',
            r"line 1: points: expected a list of pairs of numbers, .*, found \[1\] at number 1 of 1",
        ),
        ('{"image": "a.png", "points": [[1, NaN]]}', r"line 1: points: expected finite points, found \(1.0, nan\)"),
        (
            '{"image": "a.png", "points": [["x", 1]]}',
            r"line 1: points: expected a list of pairs of numbers, .*, found \['x', 1\]",
        ),
        ('{"image": "a.png", "points": []}\n' * 2, "line 2: image: expected every image once"),
        ('{"image": "b.png", "points": []}', r"expected 1 images, found 1 missing \(b.png\)"),
    ],
)
def test_invalid_json_lines(tmp_path, line, words):
    write_line(tmp_path, line)
    with pytest.raises(DataError, match=words):
        build("Points", tmp_path)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "found an empty list"),
        ("a.png,1,2", "line 1: expected a header with the columns image, x, y, found 'a.png,1,2'"),
        ("image,x,y\n\na.png,1", "line 3: row: expected 3 cells"),
        ("image,x,y\na.png,1,", "line 2: y: expected a number of pixels"),
        ("image,x,y\na.png,nan,2", "line 2: x: expected a number of pixels"),
        ("image,x,y", "found an empty list"),
    ],
)
def test_invalid_tables(tmp_path, rows, words):
    write_line(tmp_path, rows, "points.csv")
    with pytest.raises(DataError, match=words):
        build("Points", tmp_path, ann_file="points.csv")


def test_what_is_missing_is_named(tmp_path):
    for write, name, words in (
        (as_shanghaitech, "part_A_final/train_data/ground_truth/GT_b.mat", "3 annotations, found 1 missing"),
        (as_ucf_qnrf, "Train/b_ann.mat", r"3 annotations, found 1 missing \(Train/b_ann.mat\)"),
        (as_jhu, "train/gt/b.txt", "3 annotations, found 1 missing"),
        (as_nwpu_mat, "images/b.jpg", r"3 images, found 1 missing \(images/b.jpg\)"),
        (as_nwpu_json, "jsons/b.json", "3 annotations, found 1 missing"),
        (as_trancos, "images/bmask.mat", "3 masks, found 1 missing"),
        (as_trancos, "images/bdots.png", "3 dots, found 1 missing"),
        (as_trancos, "image_sets/training.txt", "training.txt: expected one name per line, but No such file"),
        (as_nwpu_mat, "train.txt", "train.txt: expected lines of id, luminance and level, but No such file"),
    ):
        root = tmp_path / name.replace("/", "_")
        with pytest.raises(DataError, match=words):
            _without(write, root, name)


def _without(write, root, name):
    dataset = write(root, WHOLE)
    (root / name).unlink()
    build(type(dataset).__name__.removesuffix("Dataset"), root, **({"annotation": "json"} if "json" in name else {}))


def test_empty_sets_and_lists(tmp_path):
    (tmp_path / "Train").mkdir()
    with pytest.raises(DataError, match=r"Train: expected images .*, found none; see datasets/ucf_qnrf/README\.md"):
        build("UCFQNRF", tmp_path)
    with pytest.raises(DataError, match="images: expected a folder of images, found no such folder"):
        build("JHUCrowd", tmp_path)
    text(tmp_path / "train.txt", "\n")
    with pytest.raises(DataError, match=r"train\.txt: expected at least one image, found an empty list"):
        build("NWPUCrowd", tmp_path)
    text(tmp_path / "image_sets/training.txt", "\n")
    with pytest.raises(DataError, match=r"training\.txt: expected at least one image, found an empty list"):
        build("TRANCOS", tmp_path)


@pytest.mark.parametrize(
    ("line", "name", "words"),
    [
        ("a 4 0", "NWPUCrowd", r"train.txt: line 1: labels: expected id, luminance \(0 to 3\) and level \(0 to 4\)"),
        ("a 0 5", "NWPUCrowd", "line 1: labels: expected id, luminance"),
        ("a 0", "NWPUCrowd", "line 1: labels: expected id, luminance"),
        ("a 0 -1", "NWPUCrowd", "line 1: labels: expected id, luminance"),
        ("a,3,street,9,0", "JHUCrowd", "line 1: label: expected id,count,scene,weather"),
        ("a,3,street", "JHUCrowd", "line 1: label: expected id,count,scene,weather"),
    ],
)
def test_invalid_lists(tmp_path, line, name, words):
    (as_nwpu_mat if name == "NWPUCrowd" else as_jhu)(tmp_path, POINTS)
    text(tmp_path / ("train.txt" if name == "NWPUCrowd" else "train/image_labels.txt"), line)
    with pytest.raises(DataError, match=words):
        build(name, tmp_path)


def test_wrong_use():
    for name in ("ShanghaiTech", "UCFQNRF", "JHUCrowd", "NWPUCrowd", "TRANCOS", "UCFCC50"):
        with pytest.raises(DataError, match=f"{name}Dataset: expected a split of .*, found 'all'"):
            build(name, "nowhere", split="all")
    with pytest.raises(UnknownName, match="no annotation of NWPUCrowdDataset is called 'txt'"):
        build("NWPUCrowd", "nowhere", annotation="txt")


# --- twins --- ---


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_has_the_same_bytes_every_time(name, monkeypatch, tmp_path):
    options = "size=48" if name == "ucf_cc_50" else "train=5&test=2&size=48"
    roots = []
    for folder in ("one", "two"):
        monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / folder))
        roots.append(resolve_data_root(f"tiny://{name}?{options}"))
    files = [sorted(path for path in root.rglob("*") if path.is_file()) for root in roots]
    assert [path.relative_to(roots[0]) for path in files[0]] == [path.relative_to(roots[1]) for path in files[1]]
    assert all(left.read_bytes() == right.read_bytes() for left, right in zip(*files))


def test_twins_hold_what_is_hard():
    samples = samples_of(build("UCFQNRF", "tiny://ucf_qnrf?train=24"))
    assert samples[3]["gt_count"] == 0
    widths = [cv2.imread(sample["img_path"]).shape[1] for sample in samples]
    assert len(set(widths)) > 5
    assert samples[2]["gt_points"][0, 0] == widths[2] - 1
    outside = samples[4]["gt_points"][-1]
    assert outside[0] > widths[4]
    assert outside[1] < 0
    assert max(sample["gt_count"] for sample in samples) <= 31
    levels = {sample["level"] for sample in samples_of(build("NWPUCrowd", "tiny://nwpu_crowd", split="val"))}
    assert levels == set(range(5))


@pytest.mark.parametrize(
    "name", ["shanghaitech_a", "shanghaitech_b", "ucf_qnrf", "nwpu", "trancos", "ucf_cc_50", "jhu_crowd"]
)
def test_data_configs_produce_batches(name, tmp_path):
    bases = {"_base_/" + path for path in (f"{name}.py", "connnet_model.py", "schedule_40e_poly.py", "runtime.py")}
    for base in bases:
        text(tmp_path / base, (CONFIGS / base).read_text())
    head = 'model = dict(head=dict(type="ConnectivityHead", loss=dict(type="ConnectivityLoss", mode="paper")))'
    text(tmp_path / "run.py", f"_base_ = {sorted(bases)}\n{head}\n")
    cfg = load_config(tmp_path / "run.py", tiny=True).cfg
    train = build_dataset(cfg.train_dataloader.dataset, where="train")
    batch = next(iter(build_loader(cfg.train_dataloader, train, seed=0)))
    sizes = {tuple(inputs.shape[1:]) for inputs in batch["inputs"]}
    assert len(batch["inputs"]) == 4
    assert len(sizes) == 1
    for sample in batch["data_samples"]:
        assert tuple(sample.gt_density.shape) in sizes
        assert sample.gt_count == len(sample.gt_points)
    measured = build_dataset(cfg.val_dataloader.dataset, where="val")
    for index in range(len(measured)):
        raw = measured.get_data_info(index)["gt_points"]
        np.testing.assert_array_equal(measured[index]["data_samples"].gt_points, raw)
