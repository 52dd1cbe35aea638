"""Dots of vehicles: single pixels in every form, and other drawings."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from visionzoo.datasets.counting import TRANCOSDataset
from visionzoo.datasets.counting.dots import read_dots
from visionzoo.datasets.findings import Findings
from visionzoo.errors import DataError

DOTS = np.zeros((30, 40, 3), np.uint8)
DOTS[[4, 20], [7, 30]] = 255, 0, 0
GREY = DOTS.max(axis=2)
RNG = np.random.RandomState(0)


def read(path, findings=None):
    return read_dots(path, Findings("dots", expected="dots") if findings is None else findings)[0].tolist()


def png(path, array):
    array = np.asarray(array)
    cv2.imwrite(str(path), array[..., ::-1] if array.ndim == 3 and array.shape[2] == 3 else array)
    return path


def rgba(colours, alpha):
    return np.dstack([colours[..., ::-1], alpha])


@pytest.mark.parametrize(
    "array",
    [
        DOTS,
        GREY,
        GREY.astype(np.uint16),
        GREY.astype(np.uint16) * 257,
        DOTS.astype(np.uint16) * 257,
        GREY // 255,
        GREY // 2,
        rgba(DOTS, np.full_like(GREY, 255)),
    ],
)
def test_dots_in_every_form(tmp_path, array):
    assert read(png(tmp_path / "a.png", array)) == [[7.0, 4.0], [30.0, 20.0]]


@pytest.mark.parametrize("mode", ["P", "1", "LA", "L"])
def test_modes_of_pillow(tmp_path, mode):
    image = Image.fromarray(DOTS).quantize(2) if mode == "P" else Image.fromarray(GREY).convert(mode)
    image.save(tmp_path / "a.png")
    assert read(tmp_path / "a.png") == [[7.0, 4.0], [30.0, 20.0]]


def test_bright_dots_of_several_colours(tmp_path):
    dots = DOTS.copy()
    dots[20, 30] = 0, 200, 255
    assert len(read(png(tmp_path / "a.png", dots))) == 2
    assert read(png(tmp_path / "a.png", DOTS * 0)) == []


def jpeg(quality):
    file = io.BytesIO()
    Image.fromarray(DOTS).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (jpeg(30), "coloured pixels"),
        (jpeg(75), "dark, as JPEG leaves them"),
        (jpeg(100), "coloured pixels"),
        (255 - DOTS, "1200 of 1200 coloured pixels that touch another"),
        (cv2.dilate(DOTS, np.ones((2, 2), np.uint8)), "8 of 8 coloured pixels that touch another"),
        (cv2.GaussianBlur(DOTS, (5, 5), 1), "dark"),
        (np.maximum(DOTS, RNG.randint(0, 9, DOTS.shape)).astype(np.uint8), "dark"),
        (GREY.astype(np.uint16) + RNG.randint(0, 9, GREY.shape).astype(np.uint16), "coloured pixels"),
        (rgba(DOTS * 0, GREY), "a transparent part"),
        (rgba(255 - DOTS * 0, GREY), "a transparent part"),
    ],
)
def test_other_drawings(tmp_path, array, words):
    with pytest.raises(
        DataError, match=f"expected one coloured pixel for each object on a black ground, found .*{words}"
    ):
        read(png(tmp_path / "a.png", array))


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + bytes(60)])
def test_other_files(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.png: expected"):
        read(tmp_path / "a.png")


def test_a_few_dots_that_touch_are_counted_with_a_note(tmp_path):
    dots = DOTS.copy()
    for x, y in ((1, 1), (2, 2), (20, 5), (12, 25)):
        dots[y, x] = 255, 0, 0
    said = []
    findings = Findings("dots", expected="dots")
    findings.note = lambda text, count=1: said.append((text, count))
    assert len(read(png(tmp_path / "a.png", dots), findings)) == 6
    assert said == [("dots that touch another dot, all counted", 2)]


# --- the data set ---


def trancos(root, dots=DOTS, region=None, names="a.jpg\n", **arguments):
    (root / "images").mkdir(exist_ok=True)
    (root / "image_sets").mkdir(exist_ok=True)
    cv2.imwrite(str(root / "images/a.jpg"), np.full((30, 40, 3), 90, np.uint8))
    png(root / "images/adots.png", dots)
    savemat(root / "images/amask.mat", {"BW": np.ones((30, 40), np.uint8) if region is None else region})
    (root / "image_sets/training.txt").write_text(names)
    return TRANCOSDataset(str(root), serialize_data=False, **arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(dots=jpeg(75)), "images/adots.png: contents: expected one coloured pixel"),
        (dict(region=np.ones((40, 30))), "images/amask.mat: contents: expected a region of 40x30 pixels like a.jpg"),
        (dict(region="road"), r"images/amask.mat: BW: expected numbers \(H, W\)"),
        (dict(region=np.ones((30, 40)) * np.nan), "images/amask.mat: BW: expected finite numbers"),
        (dict(region=np.zeros((30, 40))), "all images: dots: expected dots inside the regions, found 2 outside"),
        (dict(names="a\na.jpg\n"), "line 2: name: expected every name once, found 'a' of line 1 again"),
        (dict(dots=DOTS * 0), "points: expected at least one to learn, found none in 1 images"),
        (dict(names="\n"), "expected at least one image, found an empty list"),
        (dict(names="../none\n"), "expected 1 images, found 1 missing"),
    ],
)
def test_wrong_files(tmp_path, arguments, words):
    with pytest.raises(DataError, match=words):
        trancos(tmp_path, **arguments)


def test_regions_of_logical_and_other_numbers(tmp_path):
    for region in (np.ones((30, 40), bool), np.full((30, 40), 255, np.uint8), np.ones((30, 40))):
        assert trancos(tmp_path, region=region)[0]["gt_count"] == 2
    assert len(trancos(tmp_path, region=np.zeros((30, 40)), test_mode=True)) == 1
    assert Path(trancos(tmp_path)[0]["roi_path"]).name == "amask.mat"
