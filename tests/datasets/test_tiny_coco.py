"""The COCO twin: COCO's layout, exact boxes, areas and polygons, identical bytes every time."""

import hashlib
import multiprocessing
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as masks
from pycocotools.coco import COCO

from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.tiny.__main__ import main
from visionzoo.datasets.tiny.coco import VERSION
from visionzoo.datasets.tiny.outline import has_hole, trace_outline
from visionzoo.errors import ConfigError, OutputError

SPLITS = {"train2017": 16, "val2017": 8}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIONZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        return resolve_data_root("tiny://coco")


@pytest.mark.parametrize("split", SPLITS)
def test_layout_and_sizes(twin, split):
    index = COCO(twin / "annotations" / f"instances_{split}.json")
    assert len(index.imgs) == SPLITS[split]
    assert {"info", "licenses", "images", "annotations", "categories"} <= set(index.dataset)
    assert [category["id"] for category in index.dataset["categories"]] == [1, 3, 8]
    sizes = set()
    for image in index.imgs.values():
        pixels = cv2.imread(str(twin / split / image["file_name"]))
        assert pixels.shape[:2] == (image["height"], image["width"])
        sizes.add(pixels.shape[:2])
    assert len(sizes) == SPLITS[split]
    assert all(96 <= side <= 161 for size in sizes for side in size)


@pytest.mark.parametrize("split", SPLITS)
def test_area_and_box_are_those_of_the_decoded_mask(twin, split):
    index = COCO(twin / "annotations" / f"instances_{split}.json")
    for annotation in index.anns.values():
        rle = index.annToRLE(annotation)
        assert masks.area(rle) == annotation["area"]
        assert masks.toBbox(rle).tolist() == annotation["bbox"]


@pytest.mark.parametrize("split", SPLITS)
def test_objects_hide_each_other_and_share_no_pixel(twin, split):
    index = COCO(twin / "annotations" / f"instances_{split}.json")
    overlapping = 0
    for image_id in index.imgs:
        annotations = index.loadAnns(index.getAnnIds(image_id))
        if annotations:
            assert np.sum([index.annToMask(annotation) for annotation in annotations], axis=0).max() == 1
        boxes = np.array([annotation["bbox"] for annotation in annotations])
        if len(boxes) > 1:
            overlapping += (np.triu(masks.iou(boxes, boxes, [0] * len(boxes)), 1) > 0.05).any()
    assert overlapping > SPLITS[split] // 3


@pytest.mark.parametrize("split", SPLITS)
def test_one_crowd_one_empty_image_all_classes_and_scales(twin, split):
    index = COCO(twin / "annotations" / f"instances_{split}.json")
    crowds = [a for a in index.anns.values() if a["iscrowd"]]
    assert len(crowds) == 1
    assert isinstance(crowds[0]["segmentation"]["counts"], list)
    assert sum(not index.getAnnIds(image_id) for image_id in index.imgs) == 1
    objects = [a for a in index.anns.values() if not a["iscrowd"]]
    assert {a["category_id"] for a in objects} == {1, 3, 8}
    sides = [max(a["bbox"][2:]) for a in objects]
    assert min(sides) < 25
    assert max(sides) > 50


def digest(root: Path) -> str:
    parts = sorted(path for path in root.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in parts)).hexdigest()


def test_other_drawings_need_another_version(twin):
    """The annotations state the version. If the drawing of scenes changes, raise it, then update these hashes."""
    assert VERSION == 1
    digests = {"train2017": "d129f3fc8080cc39", "val2017": "32c80ce5657cc067"}
    for split, start in digests.items():
        data = (twin / "annotations" / f"instances_{split}.json").read_bytes()
        assert hashlib.sha256(data).hexdigest().startswith(start)


def test_the_same_address_draws_the_same_bytes(twin, tmp_path, monkeypatch):
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "other"))
    again = resolve_data_root("tiny://coco?seed=0")
    assert again != twin
    assert digest(again) == digest(twin)
    assert digest(resolve_data_root("tiny://coco?seed=1")) != digest(twin)


def test_a_longer_split_begins_like_a_shorter_one(twin):
    longer = resolve_data_root("tiny://coco?train=18&val=1")
    for name in sorted(path.name for path in (twin / "train2017").iterdir()):
        assert (longer / "train2017" / name).read_bytes() == (twin / "train2017" / name).read_bytes()
    assert len(list((longer / "val2017").iterdir())) == 1


def test_size_is_the_mean_side():
    root = resolve_data_root("tiny://coco?train=2&val=1&size=200")
    sides = [side for path in root.rglob("*.jpg") for side in cv2.imread(str(path)).shape[:2]]
    assert all(150 <= side <= 250 for side in sides)


def test_what_is_drawn_is_kept_and_plain_folders_go_through():
    first = resolve_data_root("tiny://coco?train=1&val=1")
    marker = first / "marker"
    marker.touch()
    assert resolve_data_root("tiny://coco?val=1&train=1") == first
    assert marker.exists()
    assert resolve_data_root("data/coco") == Path("data/coco")
    assert resolve_data_root("~/coco") == Path.home() / "coco"


def draw_few(_: int) -> str:
    return str(resolve_data_root("tiny://coco?train=3&val=2"))


def test_processes_that_draw_at_once_all_succeed(tmp_path):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        roots = set(pool.map(draw_few, range(8), chunksize=1))
    assert len(roots) == 1
    root = Path(roots.pop())
    assert len(list((root / "train2017").iterdir())) == 3
    assert [path.name for path in root.parent.iterdir()] == [root.name]  # no partial drawing is left


def test_an_interrupted_drawing_leaves_nothing(monkeypatch, tmp_path):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("visionzoo.datasets.tiny.coco._draw_split", stop)
        with pytest.raises(KeyboardInterrupt):
            resolve_data_root("tiny://coco?train=1&val=1")
    assert list((tmp_path / "cache" / "tiny").iterdir()) == []
    assert (resolve_data_root("tiny://coco?train=1&val=1") / "annotations/instances_val2017.json").is_file()


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("tiny://cocoo", "no tiny data set is called 'cocoo'; did you mean 'coco'"),
        ("tinny://coco", "unknown scheme 'tinny'"),
        ("s3://bucket/coco", "write a folder, or tiny://coco"),
        ("tiny://coco?trian=4", "no option is called 'trian'; did you mean 'train'"),
        ("tiny://coco?train=many", "expected train to be a whole number >= 1, found 'many'"),
        ("tiny://coco?val=0", ">= 1, found '0'"),
        ("tiny://coco?size=10", ">= 64, found '10'"),
        ("tiny://coco?seed", "expected seed to be a whole number"),
    ],
)
def test_wrong_addresses(address, what):
    with pytest.raises(ConfigError, match="data_root") as error:
        resolve_data_root(address)
    assert what in str(error.value)


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"expected to write generated data here.*set VISIONZOO_CACHE"):
        resolve_data_root("tiny://coco")


# --- outlines ---


def decode(polygons, shape):
    return masks.decode(masks.merge(masks.frPyObjects(polygons, *shape))).astype(bool)


@pytest.mark.parametrize("seed", range(12))
def test_outlines_decode_to_the_same_mask(seed):
    rng = np.random.RandomState(seed)
    mask = cv2.resize(rng.randint(0, 2, (7, 9)).astype(np.uint8), (27, 23), interpolation=cv2.INTER_NEAREST)
    mask = fill_holes(mask)
    np.testing.assert_array_equal(decode(trace_outline(mask), mask.shape), mask)


def fill_holes(mask):
    outside = np.pad(1 - mask, 1, constant_values=1).astype(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=8)
    return labels[1:-1, 1:-1] != labels[0, 0]


def test_outline_of_a_pixel_and_of_two_that_touch_at_a_corner():
    mask = np.zeros((4, 5), bool)
    mask[1, 2] = True
    assert trace_outline(mask) == [[2.0, 1.0, 3.0, 1.0, 3.0, 2.0, 2.0, 2.0]]
    mask[2, 3] = True
    assert len(trace_outline(mask)) == 2
    np.testing.assert_array_equal(decode(trace_outline(mask), mask.shape), mask)


def test_holes_are_detected():
    ring = np.ones((5, 6), bool)
    assert not has_hole(ring)
    ring[2, 2] = False
    assert has_hole(ring)
    ring[2, :2] = False
    assert not has_hole(ring)


# --- from the shell ---


def test_the_shell_prints_the_folder(capsys, tmp_path):
    assert main(["tiny://coco?train=1&val=1"]) == 0
    printed = Path(capsys.readouterr().out.strip())
    assert printed.parent == tmp_path / "cache" / "tiny"
    assert re.fullmatch(r"coco-v1-[0-9a-f]{8}-train1-val1-size129-seed0", printed.name)
    assert (printed / "val2017").is_dir()
    assert main(["tiny://cocoo"]) == 2
    assert "error: data_root 'tiny://cocoo'" in capsys.readouterr().err
    assert main(["--hepl"]) == 2
    assert main(["--help"]) == 0
