"""Data sets of one class per image: labels, names, and an error for every kind of wrong input."""

import hashlib
import json
import pickle

import cv2
import numpy as np
import pytest
import torchvision
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from visionzoo.datasets.cifar import read_pickle
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import ConfigError, DataError
from visionzoo.registry import DATASETS


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIONZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def build(kind, **arguments):
    return build_dataset(dict(type=kind, **arguments), where="dataset")


def draw(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((5, 7, 3), value, np.uint8))
    return path


@pytest.fixture
def tree(tmp_path):
    """Write two classes and a text file; one image is in a deeper folder."""
    for name in ("train/cat/2.png", "train/cat/deep/1.JPG", "train/dog/1.png", "val/dog/9.png"):
        draw(tmp_path / name)
    (tmp_path / "train/cat/notes.txt").write_text("no image")
    return tmp_path


def labels(dataset):
    return [dataset.get_data_info(index)["gt_label"] for index in range(len(dataset))]


# --- folders ---


def test_folders_are_classes_in_alphabetical_order(tree):
    dataset = build("ImageFolder", data_root=str(tree), pipeline=[dict(type="LoadImage")])
    assert dataset.metainfo["classes"] == ("cat", "dog")
    assert labels(dataset) == [0, 0, 1]
    assert dataset[1]["img"].shape == (5, 7, 3)
    assert dataset[1]["img_path"].endswith("train/cat/deep/1.JPG")
    assert dataset.get_cat_ids(2) == [1]


def test_all_splits_have_the_classes_of_train(tree):
    dataset = build("ImageFolder", data_root=str(tree), split="val")
    assert dataset.metainfo["classes"] == ("cat", "dog")
    assert labels(dataset) == [1]
    assert labels(build("ImageFolder", data_root=str(tree), split="val", classes_from="val", test_mode=True)) == [0]
    assert labels(build("ImageFolder", data_root=str(tree / "train"), split="")) == [0, 0, 1]


def test_given_classes_order_the_labels_and_a_background_comes_first(tree):
    dataset = build("ImageFolder", data_root=str(tree), classes=["dog", "cat"], background=True)
    assert dataset.metainfo["classes"] == ("background", "dog", "cat")
    assert labels(dataset) == [2, 2, 1]


MAPS = {
    "map.json": json.dumps({"dog": "a hound", "cat": "a tom"}),
    "index.json": json.dumps({"1": ["cat", "a tom"], "0": ["dog", "a hound"]}),
    "pairs.json": json.dumps([["dog", "a hound"], ["cat", "a tom"]]),
    "map.txt": "dog a hound\n\ncat a tom\n",
}


@pytest.mark.parametrize("name", MAPS)
def test_class_maps_name_and_order(tree, name):
    (tree / name).write_text(MAPS[name])
    dataset = build("ImageFolder", data_root=str(tree), class_map=name)
    assert dataset.metainfo["classes"] == ("a hound", "a tom")
    assert dataset.metainfo["class_keys"] == ("dog", "cat")
    assert labels(dataset) == [1, 1, 0]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"dog": ', "found an error in line 1"),
        ("[1, 2]", "found something else"),
        ("[]", "at least one class"),
        ('["cat", "cat"]', "'cat' 2 times"),
        ('{"0": ["a", "b"], "2": ["c", "d"]}', "labels 0 to 1"),
    ],
)
def test_class_maps_that_are_none(tree, text, what):
    (tree / "map.json").write_text(text)
    with pytest.raises(DataError, match=what):
        build("ImageFolder", data_root=str(tree), class_map="map.json")


def test_what_is_wrong_with_folders(tree):
    with pytest.raises(DataError, match=r"expected .*trian/<class folder>/<image>, found no such folder.*--tiny"):
        build("ImageFolder", data_root=str(tree), split="trian")
    with pytest.raises(DataError, match=r"datasets/imagenet/prepare\.py.*--tiny"):
        build("ImageNet", data_root=str(tree / "nowhere"))
    with pytest.raises(DataError, match=r"train/dog: expected one of 2 classes, found 'dog'; did you mean 'dogs'"):
        build("ImageFolder", data_root=str(tree), classes=["cat", "dogs"])
    with pytest.raises(DataError, match="found both"):
        build("ImageFolder", data_root=str(tree), classes=["cat"], class_map="map.txt")
    (tree / "train/emu").mkdir()
    with pytest.raises(DataError, match=r"in every class folder, found 1 empty \(emu\)"):
        build("ImageFolder", data_root=str(tree))
    assert build("ImageFolder", data_root=str(tree), allow_empty=True).metainfo["classes"] == ("cat", "dog", "emu")
    (tree / "bare").mkdir()
    with pytest.raises(DataError, match="one folder per class, found none"):
        build("ImageFolder", data_root=str(tree), split="bare", classes_from="bare")
    with pytest.raises(DataError, match=r"expected a class map .*No such file"):
        build("ImageFolder", data_root=str(tree), class_map="absent.txt")


def test_a_damaged_image_is_named_when_it_is_read(tree):
    (tree / "train/dog/1.png").write_bytes(b"\x89PNG\r\n\x1a\nnot")
    dataset = build("ImageFolder", data_root=str(tree), pipeline=[dict(type="LoadImage")])
    with pytest.raises(DataError, match=r"train/dog/1\.png: expected a whole image"):
        dataset[2]


# --- lists ---


def test_csv_and_text_have_the_same_samples(tree):
    (tree / "a.csv").write_text("label,path,split\ncat,cat/2.png,x\ndog,dog/1.png,y\n")
    (tree / "a.txt").write_text("cat/2.png cat\ndog/1.png\tdog\n")
    for name in ("a.csv", "a.txt"):
        dataset = build("ImageList", data_root=str(tree), ann_file=name, img_folder="train")
        assert dataset.metainfo["classes"] == ("cat", "dog")
        assert labels(dataset) == [0, 1]
        assert dataset.get_data_info(1)["img_path"] == str(tree / "train/dog/1.png")


def test_names_with_spaces_and_labels_as_numbers(tree):
    draw(tree / "train/a cat.png")
    (tree / "meta.txt").write_text("a cat.png 2\ndog/1.png 0\n")
    dataset = build("ImageList", data_root=str(tree), ann_file="meta.txt", img_folder="train")
    assert dataset.metainfo["classes"] == ("0", "2")
    assert labels(dataset) == [1, 0]
    named = build("ImageList", data_root=str(tree), ann_file="meta.txt", img_folder="train", classes=["x", "y", "z"])
    assert labels(named) == [2, 0]
    shifted = dict(classes=["x", "y", "z"], background=True)
    assert labels(build("ImageList", data_root=str(tree), ann_file="meta.txt", img_folder="train", **shifted)) == [3, 1]


def test_a_list_can_take_the_classes_of_another(tree):
    (tree / "all.csv").write_text("path,label\ncat/2.png,cat\ndog/1.png,dog\n")
    (tree / "few.csv").write_text("path,label\ndog/1.png,dog\n")
    dataset = build("ImageList", data_root=str(tree), ann_file="few.csv", img_folder="train", classes_from="all.csv")
    assert labels(dataset) == [1]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.csv", "file,label\n", "a header with the columns path, label, found 'file,label'"),
        ("a.csv", "path,label\ncat/2.png\n", "line 2: row: expected 2 cells .*, found 1 cell"),
        ("a.txt", "cat/2.png 0\nsingle\n", "line 2: row: expected a path and a label, found 'single'"),
        ("a.txt", "\n", "at least one image"),
        (
            "a.txt",
            "cat/2.png cta\n",
            r"a.txt: line 1: label: expected one of 2 classes, found 'cta'; did you mean 'cat'",
        ),
        ("a.txt", "cat/2.png 2\n", "expected one of 2 classes, found '2'"),
        ("a.txt", "cat/3.png cat\n", r"line 1: path: expected an image file, found none at .*train/cat/3.png"),
    ],
)
def test_what_is_wrong_with_lists(tree, name, text, what):
    (tree / name).write_text(text)
    with pytest.raises(DataError, match=what):
        build("ImageList", data_root=str(tree), ann_file=name, img_folder="train", classes=["cat", "dog"])


def test_a_list_that_is_not_text_or_missing(tree):
    (tree / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not valid UTF-8"):
        build("ImageList", data_root=str(tree), ann_file="a.txt")
    with pytest.raises(DataError, match=r"found no such file.*--tiny"):
        build("ImageList", data_root=str(tree), ann_file="b.txt")


# --- twins ---


def test_imagenets_twin_in_folders_and_lists():
    folders = build("ImageNet", data_root="tiny://imagenet", split="val", pipeline=[dict(type="LoadImage")])
    assert len(folders) == 40
    assert folders.metainfo["classes"][:3] == ("tench", "goldfish", "great white shark")
    listed = build(
        "ImageList",
        data_root="tiny://imagenet",
        ann_file="meta/val.txt",
        img_folder="val",
        class_map="meta/classes.txt",
        pipeline=[dict(type="LoadImage")],
    )
    assert listed.metainfo["class_keys"] == folders.metainfo["class_keys"]
    by_path = {listed[i]["img_path"]: listed[i]["gt_label"] for i in range(40)}
    assert by_path == {folders[i]["img_path"]: folders[i]["gt_label"] for i in range(40)}
    assert len({folders[i]["img_shape"] for i in range(40)}) > 20


@pytest.mark.parametrize("name", ["imagenet", "cifar10", "cifar100"])
def test_the_same_address_draws_the_same_bytes(name, tmp_path, monkeypatch):
    def digest(address):
        paths = sorted(path for path in resolve_data_root(address).rglob("*") if path.is_file())
        return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()

    first, other = digest(f"tiny://{name}"), digest(f"tiny://{name}?seed=1")
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path))
    assert digest(f"tiny://{name}") == first != other


@pytest.mark.parametrize(("kind", "twin", "classes"), [("CIFAR10", "cifar10", 10), ("CIFAR100", "cifar100", 100)])
def test_classes_can_be_distinguished(kind, twin, classes):
    """The mean colour of the foreground identifies the class far more often than chance."""
    train, test = (build(kind, data_root=f"tiny://{twin}?train=1000&val=200", split=s) for s in ("train", "test"))
    assert len(train.metainfo["classes"]) == classes

    def colours(dataset):
        images = [dataset[i]["img"].astype(float) for i in range(len(dataset))]
        drawn = [(np.ptp(p, axis=2) > 30) | (p.max(2) > 205) | (p.min(2) < 65) for p in images]
        return np.stack([image[mask].mean(0) for image, mask in zip(images, drawn)])

    hues, truth = colours(train), np.array(labels(train)) % 10
    means = np.stack([hues[truth == colour].mean(0) for colour in range(10)])
    guess = ((colours(test)[:, None] - means[None]) ** 2).sum(-1).argmin(1)
    assert (guess == np.array(labels(test)) % 10).mean() > 0.8


# --- CIFAR ---


class AsTorchvisionReads(torchvision.datasets.CIFAR10):
    meta = {"filename": "batches.meta", "key": "label_names", "md5": None}

    def _check_integrity(self):
        return True


@pytest.mark.parametrize("split", ["train", "test"])
def test_pixels_and_labels_are_those_that_torchvision_reads(split, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    ours = build("CIFAR10", data_root="tiny://cifar10", split=split)
    theirs = AsTorchvisionReads(str(resolve_data_root("tiny://cifar10")), train=split == "train")
    assert ours.metainfo["classes"] == tuple(theirs.classes)
    assert labels(ours) == theirs.targets
    np.testing.assert_array_equal(np.stack([ours[i]["img"] for i in range(len(ours))]), theirs.data)


def test_pickles_of_python_3_are_read_as_well(tmp_path):
    record = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [3, 1], "batch_label": "x"}
    for protocol in (2, 4):
        (tmp_path / "batch").write_bytes(pickle.dumps(record, protocol=protocol))
        assert read_pickle(tmp_path / "batch")[b"labels"] == [3, 1]


class RunsCode:
    def __reduce__(self):
        import os

        return os.system, ("touch pwned",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "batch").write_bytes(pickle.dumps({b"data": RunsCode()}, protocol=2))
    with pytest.raises(DataError, match=r"names (posix|nt)\.system; it could run code"):
        read_pickle(tmp_path / "batch")
    assert not (tmp_path / "pwned").exists()


def test_what_is_wrong_with_cifar(tmp_path):
    with pytest.raises(ConfigError, match="train or test"):
        build("CIFAR10", data_root="tiny://cifar10", split="val")
    with pytest.raises(DataError, match=r"cifar-10-batches-py: expected the files .* missing; .*README.md.*--tiny"):
        build("CIFAR10", data_root=str(tmp_path))
    whole = resolve_data_root("tiny://cifar10") / "cifar-10-batches-py"
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for path in whole.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    batch = folder / "test_batch"
    batch.write_bytes(batch.read_bytes()[:-400])
    with pytest.raises(DataError, match="test_batch: expected a whole pickle of CIFAR, found damaged bytes"):
        build("CIFAR10", data_root=str(tmp_path), split="test")
    for record, what in (
        ([1], "an entry 'data', found list"),
        ({b"data": np.zeros((2, 9), np.uint8), b"labels": [0, 1]}, r"found shape \(2, 9\)"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [11]}, "labels 0 to 9, found 11"),
    ):
        batch.write_bytes(pickle.dumps(record, protocol=2))
        with pytest.raises(DataError, match=what):
            build("CIFAR10", data_root=str(tmp_path), split="test")


# --- crops ---


@pytest.fixture
def scene(tmp_path):
    image = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "1.png"), image[..., ::-1])
    boxes = [([10.4, 5, 20, 10.2], 7, 0), ([50, 30, 20, 20], 4, 0), ([0, 0, 9, 9], 4, 1), ([3, 3, 2, 9], 4, 0)]
    record = {
        "images": [{"id": 1, "file_name": "1.png", "height": 40, "width": 60}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": category, "bbox": box, "iscrowd": crowd}
            for n, (box, category, crowd) in enumerate(boxes)
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 4, "name": "cat"}],
    }
    (tmp_path / "ann.json").write_text(json.dumps(record))
    return tmp_path, image


@pytest.mark.parametrize("keep_crops", [False, True])
def test_boxes_become_images(scene, keep_crops):
    root, image = scene
    dataset = build("CocoCrops", data_root=str(root), ann_file="ann.json", min_size=4, keep_crops=keep_crops)
    assert dataset.metainfo["classes"] == ("cat", "dog")
    assert labels(dataset) == [1, 0]
    for _ in range(2):
        first, second = dataset[0], dataset[1]
        np.testing.assert_array_equal(first["img"], image[5:16, 10:31])
        np.testing.assert_array_equal(second["img"], image[30:40, 50:60])
        first["img"][:] = 0  # a later epoch must not see the changes of a transform
    assert second["ori_shape"] == (10, 10)
    assert second["ann_id"] == 1


def test_margins_end_at_the_border_and_classes_choose(scene):
    root, image = scene
    dataset = build("CocoCrops", data_root=str(root), ann_file="ann.json", margin=0.5, classes=["dog"])
    assert len(dataset) == 1
    np.testing.assert_array_equal(dataset[0]["img"], image[0:21, 0:41])


def test_what_is_wrong_with_crops(scene):
    root, _ = scene
    with pytest.raises(DataError, match=r"0 of 4 boxes kept .*min_size=99"):
        build("CocoCrops", data_root=str(root), ann_file="ann.json", min_size=99)
    with pytest.raises(ConfigError, match='config has "Cat"; file has "cat"'):
        build("CocoCrops", data_root=str(root), ann_file="ann.json", classes=["Cat"])
    cv2.imwrite(str(root / "1.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match="expected 60x40 pixels as in its annotation, found 9x9"):
        build("CocoCrops", data_root=str(root), ann_file="ann.json")[0]
    (root / "1.png").unlink()
    with pytest.raises(DataError, match="found 1 missing"):
        build("CocoCrops", data_root=str(root), ann_file="ann.json")


@pytest.mark.parametrize(
    "cfg",
    [
        dict(type="CIFAR10", data_root="tiny://cifar10"),
        dict(type="ImageNet", data_root="tiny://imagenet"),
        pytest.param(
            dict(
                type="CocoCrops",
                data_root="tiny://coco",
                ann_file="annotations/instances_val2017.json",
                img_folder="val2017",
            ),
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda cfg: cfg["type"],
)
def test_spawned_workers_and_only_the_first_samples(cfg):
    size = [dict(type="LoadImage"), dict(type="ResizeCrop", size=16)]
    with DefaultScope.overwrite_default_scope("visionzoo"):
        dataset = DATASETS.build({**cfg, "max_samples": 4, "pipeline": size})
    assert len(dataset) == 4
    loader = DataLoader(dataset, 2, num_workers=1, multiprocessing_context="spawn", collate_fn=list)
    seen = [sample for batch in loader for sample in batch]
    assert [sample["gt_label"] for sample in seen] == labels(dataset)
    assert all(sample["img"].shape == (16, 16, 3) for sample in seen)
    assert len(build_dataset({**cfg, "indices": 3}, where="dataset")) == 3
