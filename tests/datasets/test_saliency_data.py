"""Saliency data: files by stem, every kind of PNG mask, joint changes of images and masks, id maps to COCO."""

from __future__ import annotations

import json
import logging

import cv2
import numpy as np
import pytest
import torch
from numpy.random import RandomState
from PIL import Image

from visionzoo.cli.convert import main as convert
from visionzoo.config import load_config
from visionzoo.datasets.id_maps import images_of, to_coco
from visionzoo.datasets.mask_files import read_grey, read_ids
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.tiny.saliency import draw_scene
from visionzoo.datasets.transforms import masks
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.registry import TRANSFORMS
from visionzoo.structures.detections import decode_mask

IMAGE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
MASK = np.where(IMAGE[..., 0] > 40, 255, 0).astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIONZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def build(root, **arguments):
    return build_dataset(dict(type="SaliencyDataset", data_root=str(root), **arguments), where="dataset")


def put(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), values)
    return path


@pytest.fixture
def root(tmp_path):
    """Write three images with masks, as JPEG and PNG, and a list of two."""
    for name in ("a.jpg", "b.png", "c.JPG"):
        put(tmp_path / "imgs" / name, IMAGE)
        put(tmp_path / "gt" / f"{name[0]}.png", MASK)
    (tmp_path / "train.txt").write_text("c\n\na.jpg\n")
    return tmp_path


def stems(dataset):
    return [dataset.get_data_info(i)["img_path"].rpartition("/")[2][0] for i in range(len(dataset))]


# --- the data set ---


def test_all_images_or_those_of_a_list_in_its_order(root):
    assert stems(build(root)) == ["a", "b", "c"]
    assert stems(build(root, split="train")) == ["c", "a"]
    assert stems(build(root, max_samples=2)) == ["a", "b"]
    assert build(root).metainfo["classes"] == ("salient",)


def test_image_and_mask_in_one_folder(tmp_path):
    for name in ("a.jpg", "a.png"):
        put(tmp_path / "data" / name, IMAGE)
    info = build(tmp_path, img_folder="data", gt_folder="data").get_data_info(0)
    assert (info["img_path"][-5:], info["gt_path"][-5:]) == ("a.jpg", "a.png")


def test_a_sample_for_the_task_model(root):
    pipeline = [dict(type=name) for name in ("LoadImage", "LoadMaskAnnotation", "PackTaskInputs")]
    sample = build(root, pipeline=pipeline)[1]
    assert sample["inputs"].shape == (3, 5, 7)
    assert torch.equal(sample["data_samples"].gt_map, torch.from_numpy(MASK))
    assert sample["data_samples"].metainfo["ori_shape"] == (5, 7)


def remove(root, name):
    (root / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "arguments", "words"),
    [
        (lambda root: None, dict(split="test"), r"test.txt: .* \(lists there: train.txt\)"),
        (lambda root: (root / "train.txt").write_text("\n"), dict(split="train"), "train.txt: expected at least one"),
        (lambda root: (root / "train.txt").write_bytes(b"\xff\xfe\xff"), dict(split="train"), "not valid UTF-8"),
        (lambda root: remove(root, "gt/b.png"), {}, r"expected 3 masks, found 1 missing \(b\)"),
        (lambda root: remove(root, "imgs/a.jpg"), dict(split="train"), r"expected 2 images, found 1 missing \(a\)"),
        (lambda root: None, dict(img_folder="photos"), "expected photos/<name>.jpg, found no such folder"),
        (
            lambda root: (root / "no").mkdir(),
            dict(gt_folder="no"),
            "no: expected files <name>.png, found none",
        ),
    ],
)
def test_invalid_data_sets(root, spoil, arguments, words):
    spoil(root)
    with pytest.raises(DataError, match=words):
        build(root, **arguments)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: put(path, MASK[:, :-1]), "a.png: expected a mask of 7x5 pixels like .*a.jpg, found 6x5"),
        (lambda path: path.write_bytes(b""), "a.png: expected a mask, found an empty file"),
        (lambda path: path.write_bytes(b"no image"), "a.png: expected a mask .*8 bytes that cannot be decoded"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "a.png: expected a mask that can be decoded, but"),
    ],
)
def test_invalid_masks(root, spoil, words):
    dataset = build(root, test_mode=True, pipeline=[dict(type="LoadImage"), dict(type="LoadMaskAnnotation")])
    spoil(root / "gt" / "a.png")
    with pytest.raises(DataError, match=words):
        dataset[0]


# --- reading masks ---


def saved(path, image, **options):
    image.save(path, **options)
    return path


def test_masks_of_every_kind_are_grey(tmp_path):
    grey = Image.fromarray(MASK)
    palette = Image.fromarray((MASK > 0).astype(np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    kinds = {
        "grey": grey,
        "rgb": grey.convert("RGB"),
        "rgba": grey.convert("RGBA"),
        "bits": grey.convert("1"),
        "palette": palette,
        "deep": Image.fromarray(MASK.astype(np.uint16) * 257),
    }
    for name, image in kinds.items():
        values = read_grey(saved(tmp_path / f"{name}.png", image))
        assert values.dtype == np.uint8, name
        assert np.array_equal(values, MASK), name


def test_id_maps_are_numbers_not_colours(tmp_path):
    ids = np.array([[0, 1, 2], [3, 0, 2]], np.uint8)
    palette = Image.fromarray(ids, mode="P")
    palette.putpalette([0, 0, 0, 0, 0, 0, 200, 10, 10, 0, 0, 0])
    assert np.array_equal(read_ids(saved(tmp_path / "p.png", palette)), ids)
    assert np.array_equal(read_ids(saved(tmp_path / "l.png", Image.fromarray(ids))), ids)
    deep = ids.astype(np.uint16) * 1000
    assert np.array_equal(read_ids(saved(tmp_path / "d.png", Image.fromarray(deep))), deep)
    with pytest.raises(DataError, match=r"rgb.png: expected one number for every pixel .* mode RGB"):
        read_ids(saved(tmp_path / "rgb.png", Image.fromarray(ids).convert("RGB")))


def test_grey_masks_warn_once_and_are_binarised_for_targets(root, monkeypatch):
    messages = []
    monkeypatch.setattr(masks, "print_log", lambda text, logger, level: messages.append((text, level)))
    for name in "ab":
        put(root / "gt" / f"{name}.png", np.tile(np.array([0, 100, 127, 128, 200, 254, 255], np.uint8), (5, 1)))
    steps = [dict(type="LoadImage"), dict(type="LoadMaskAnnotation", kind="binary")]
    dataset = build(root, pipeline=steps)
    maps = [dataset[i]["gt_seg_map"] for i in range(3)]
    assert maps[0][0].tolist() == [0, 0, 0, 255, 255, 255, 255]
    assert np.array_equal(maps[2], MASK)
    ((text, level),) = messages
    assert "a.png: 71.4% of the mask is neither 0 nor 255" in text
    assert level == logging.WARNING
    grey = build(root, pipeline=[dict(type="LoadImage"), dict(type="LoadMaskAnnotation")])[0]["gt_seg_map"]
    assert grey[0].tolist() == [0, 100, 127, 128, 200, 254, 255]


def test_ids_for_targets_and_their_foreground(root):
    ids = np.zeros((5, 7), np.uint16)
    ids[1:3, 1:4], ids[3:, 4:] = 1, 700
    put(root / "gt" / "a.png", ids)
    pack = dict(type="PackTaskInputs", rename={"gt_seg_map": "gt_ids"})
    steps = [dict(type="LoadImage"), dict(type="LoadMaskAnnotation", kind="ids"), dict(type="RandomFlip", prob=1.0)]
    targets = build(root, pipeline=[*steps, pack])[0]["data_samples"].gt_ids
    assert targets.tolist() == ids[:, ::-1].tolist()
    steps[1] = dict(type="LoadMaskAnnotation", kind="foreground")
    assert np.array_equal(build(root, pipeline=steps[:2])[0]["gt_seg_map"], np.where(ids > 0, 255, 0))
    with pytest.raises(UnknownName, match="did you mean 'binary'"):
        build(root, pipeline=[dict(type="LoadMaskAnnotation", kind="binry")])


# --- changes ---


@pytest.mark.parametrize("tiny", [False, True])
def test_image_and_mask_are_changed_together(tmp_path, tiny):
    """Every salient pixel is red, and stays red wherever a training pipeline moves it."""
    y, x = np.mgrid[:90, :131]
    salient = (y - 40) ** 2 + (x - 70) ** 2 < 900
    image = np.where(salient[..., None], (0, 0, 250), (120, 110, 100)).astype(np.uint8)  # BGR
    put(tmp_path / "imgs" / "a.png", image)
    put(tmp_path / "gt" / "a.png", np.where(salient, 255, 0).astype(np.uint8))
    cfg = load_config("connnet_r50", tiny=tiny).cfg.train_dataloader.dataset
    dataset = build(tmp_path, pipeline=cfg.pipeline)
    np.random.seed(0)
    flips = set()
    for _ in range(12):
        sample = dataset[0]
        red = sample["inputs"][0].int() - sample["inputs"][1].int() > 70
        truth = sample["data_samples"].gt_map
        assert sample["inputs"].shape[1:] == truth.shape == ((64, 64) if tiny else (352, 352))
        assert set(truth.unique().tolist()) <= {0, 255}
        assert (red == (truth > 127)).float().mean() > 0.98  # resized outlines differ by a pixel
        flips.add(sample["data_samples"].metainfo["flip"])
    assert flips == {True, False}


def test_truth_stays_in_original_pixels_when_it_is_loaded_last(root):
    steps = [dict(type="LoadImage"), dict(type="Resize", scale=(32, 32)), dict(type="LoadMaskAnnotation")]
    sample = build(root, pipeline=[*steps, dict(type="PackTaskInputs")])[0]
    assert sample["inputs"].shape == (3, 32, 32)
    assert sample["data_samples"].gt_map.shape == (5, 7)
    assert sample["data_samples"].metainfo["img_shape"] == (32, 32)


def test_packing_renames_the_given_keys():
    pack = TRANSFORMS.build(dict(type="PackTaskInputs", rename={"gt_seg_map": "gt_other"}))
    assert "gt_other" in pack(dict(img=IMAGE, gt_seg_map=MASK))["data_samples"]


# --- drawn data ---


def test_the_twin_has_the_contents_that_its_text_states():
    folder = resolve_data_root("tiny://msra_b?train=7&val=2&test=1&size=48")
    dataset = build(folder, split="train")
    truths = [read_grey(dataset.get_data_info(i)["gt_path"]) for i in range(7)]
    assert len({mask.shape for mask in truths}) > 1
    assert [int((mask > 0).sum()) for mask in truths[4:6]] == [0, 1]
    border = [mask[[0, -1]].any() or mask[:, [0, -1]].any() for mask in truths[:4]]
    assert border[:2] == [False, True]
    assert all(set(np.unique(mask)) <= {0, 255} for mask in truths)
    assert len(build(folder, split="val")) == 2
    easy = build("tiny://msra_b?train=7&hard=0", split="train")
    assert all(read_grey(easy.get_data_info(i)["gt_path"]).any() for i in range(7))


def test_the_same_address_draws_the_same():
    one, other = (draw_scene(RandomState([3, 0, 2]), 40, 2) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other))
    with pytest.raises(ConfigError, match="expected size to be a whole number >= 32"):
        resolve_data_root("tiny://msra_b?size=8")


# --- id maps to COCO ---


@pytest.fixture
def id_maps(tmp_path):
    ids = np.zeros((6, 9), np.uint8)
    ids[1:3, 2:5], ids[3:6, 5:9], ids[0, 0] = 3, 1, 200
    for name, values in (("a", ids), ("b", np.zeros_like(ids))):
        put(tmp_path / "imgs" / f"{name}.jpg", np.dstack([values] * 3))
        put(tmp_path / "instances" / f"{name}.png", values)
    (tmp_path / "one.txt").write_text("b\n")
    return tmp_path, ids


def test_every_instance_of_every_map(id_maps):
    root, ids = id_maps
    record = to_coco(images_of(root))
    assert [image["file_name"] for image in record["images"]] == ["a.jpg", "b.jpg"]
    assert [each["id"] for each in record["annotations"]] == [1, 2, 3]
    assert [each["bbox"] for each in record["annotations"]] == [[5, 3, 4, 3], [2, 1, 3, 2], [0, 0, 1, 1]]
    for each, number in zip(record["annotations"], (1, 3, 200)):
        assert np.array_equal(decode_mask(each["segmentation"]), ids == number)
        assert each["area"] == (ids == number).sum()
    json.dumps(record)


def test_the_command_writes_what_our_detection_data_reads(id_maps, capsys):
    root, _ = id_maps
    out = root / "annotations" / "all.json"
    assert convert(["idmaps2coco", str(root), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(out), "images": 2, "instances": 3}
    cfg = dict(type="CocoDetection", data_root=str(root), ann_file=str(out), data_prefix=dict(img="imgs/"))
    dataset = build_dataset(cfg, where="dataset")
    assert dataset.metainfo["classes"] == ("salient",)
    assert [len(dataset.get_data_info(i)["instances"]) for i in range(2)] == [3, 0]
    assert convert(["idmaps2coco", str(root), "-o", str(out), "-q"]) == 2
    assert "found one; choose another name or --overwrite" in capsys.readouterr().err
    (root / "one.txt").write_text("a\n")
    assert convert(["idmaps2coco", str(root), "-o", str(out), "-q", "--overwrite", "--split", "one.txt"]) == 0
    assert len(json.loads(out.read_text())["images"]) == 1


@pytest.mark.parametrize(
    ("spoil", "split", "words"),
    [
        (lambda root: remove(root, "imgs/a.jpg"), None, "'a': image: expected one image in .*imgs, found none"),
        (lambda root: remove(root, "instances/b.png"), "one.txt", "'b': id map: expected one id map in .*, found none"),
        (
            lambda root: put(root / "instances/a.png", MASK),
            None,
            "a.png: file: expected an id map of 9x6 pixels .*, found 7x5",
        ),
        (lambda root: None, "none.txt", "none.txt: expected a list"),
        (lambda root: (root / "one.txt").write_text(""), "one.txt", "one.txt: expected id maps"),
    ],
)
def test_invalid_id_maps(id_maps, spoil, split, words):
    root, _ = id_maps
    spoil(root)
    with pytest.raises(DataError, match=words):
        to_coco(images_of(root, root / split if split else None))


@pytest.mark.parametrize(
    "text", ["a\na\n", "\ufeffa\r\n", "a.jpg\na.png\n", "imgs/a.jpg\n", "imgs\\a.JPG\ninstances/a.png", " a \n\n"]
)
def test_lines_of_a_split_of_id_maps(id_maps, text):
    root, _ = id_maps
    (root / "one.txt").write_bytes(text.encode())
    assert images_of(root, root / "one.txt") == [(root / "imgs" / "a.jpg", root / "instances" / "a.png")]


def test_hidden_files_and_endings_of_id_maps(id_maps):
    root, _ = id_maps
    (root / "instances" / "a.png").rename(root / "instances" / "a.PNG")
    (root / "imgs" / "b.jpg").rename(root / "imgs" / "b.JPG")
    for name in ("imgs/._a.jpg", "instances/._a.png", "instances/.b.png"):
        (root / name).write_bytes(b"\0\5\x16\7")
    assert len(to_coco(images_of(root))["annotations"]) == 3


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        *[("imgs/a.jpg", data, r"a\.jpg: file: expected an image, found a file that cannot be read") for data in
          (b"", b"no image", b"\x89PNG\r\n\x1a\n")],
        *[("instances/a.png", data, r"a\.png: file: expected a") for data in (b"", b"no image", b"\x89PNG\r\n\x1a\n")],
        ("instances/a.png", np.zeros((6, 9, 3), np.uint8), r"a\.png: file: expected one number .* mode RGB"),
        ("instances/a.png", np.zeros((9, 6), np.uint8), r"a\.png: file: expected an id map of 9x6 pixels"),
        ("instances/a.png", np.zeros((6, 9), np.uint8), r"expected at least one instance, found 2 maps of 0 only"),
        ("imgs/a.png", np.zeros((6, 9), np.uint8), r"'a': image: expected one image in .*found a\.jpg, a\.png"),
        ("instances/a.PNG", np.zeros((6, 9), np.uint8), r"'a': id map: expected one id map in .*found a\.PNG, a\.png"),
    ],
)  # fmt: skip
def test_files_of_id_maps_without_a_meaning(id_maps, name, data, words):
    root, _ = id_maps
    if isinstance(data, bytes):
        (root / name).write_bytes(data)
    else:
        put(root / name, data)
    with pytest.raises(DataError, match=words):
        to_coco(images_of(root))


def test_a_depth_map_is_no_id_map(id_maps):
    root, _ = id_maps
    put(root / "imgs" / "c.jpg", np.zeros((40, 40, 3), np.uint8))
    Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40)).save(root / "instances" / "c.png")
    with pytest.raises(DataError, match=r"ids: expected at most 1000 instances, found 1599 numbers"):
        to_coco(images_of(root))


def test_all_errors_of_all_id_maps_are_one_list(id_maps):
    root, _ = id_maps
    for name in ("imgs/a.jpg", "instances/b.png"):
        (root / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"found 2 errors \(2 file\)"):
        to_coco(images_of(root))
    (root / "one.txt").write_text("x\ny\n")
    with pytest.raises(DataError, match=r"found 4 errors \(2 id map, 2 image\)"):
        images_of(root, root / "one.txt")


def test_drawn_instances_are_those_of_their_maps():
    folder = resolve_data_root("tiny://salient_instances?train=5&val=1&test=1&size=40")
    record = json.loads((folder / "annotations" / "instances_train.json").read_text())
    assert len(record["images"]) == 5
    for image in record["images"]:
        ids = read_ids(folder / "instances" / image["file_name"].replace(".jpg", ".png"))
        codes = [each["segmentation"] for each in record["annotations"] if each["image_id"] == image["id"]]
        assert len(codes) == ids.max()
        assert np.array_equal(sum(decode_mask(code) * (k + 1) for k, code in enumerate(codes)), ids)


@pytest.mark.parametrize(
    ("name", "splits", "suffix"),
    [
        ("msra_b", ["train", "val", "test"], ".jpg"),
        ("hku_is", ["train", "val", "test"], ".png"),
        ("duts", ["train", "test"], ".jpg"),
        ("ecssd", [None], ".jpg"),
        ("dut_omron", [None], ".jpg"),
        ("pascal_s", [None], ".jpg"),
    ],
)
def test_every_set_has_a_twin_in_its_own_files(name, splits, suffix):
    address = f"tiny://{name}?test=3&size=40"
    for split in splits:
        data = build(address, split=split)
        assert len(data) == {"train": 24, "val": 8}.get(split, 3)
        sample = data.get_data_info(0)
        assert sample["img_path"].endswith(suffix)
        values = np.unique(read_grey(sample["gt_path"]))
        assert (len(values) > 2) == (name == "pascal_s")
    lists = sorted(path.stem for path in resolve_data_root(address).glob("*.txt"))
    assert lists == sorted(split for split in splits if split)
