"""Planes of images: equal to the transposed array for every type and view; packing gives what mmdet's step gives."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets.transforms.formatting import PackDetInputs as MmdetPacking
from PIL import Image

from visionzoo.datasets.image_reading import read_image
from visionzoo.datasets.transforms.detection import PackDetInputs
from visionzoo.datasets.transforms.planes import planes_of
from visionzoo.errors import DataError

VIEWS = {
    "whole": np.s_[:],
    "mirrored": np.s_[:, ::-1],
    "upside down": np.s_[::-1],
    "rotated": np.s_[::-1, ::-1],
    "cropped": np.s_[2:5, 1:4],
    "mirrored crop": np.s_[1:, 3:0:-1],
    "every second": np.s_[::2, ::-2],
    "one pixel": np.s_[:1, :1][:1],
    "one mirrored column": np.s_[:, 2:1:-1],
    "empty": np.s_[:0],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64, np.int64, bool])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4, 5])
def test_planes_equal_the_transposed_array(view, dtype, channels):
    shape = (6, 5) if channels is None else (6, 5, channels)
    image = (np.random.default_rng(0).random(shape) * 300).astype(dtype)[view]
    before = image.copy()
    planes = planes_of(image)
    wanted = image[None] if channels is None else image.transpose(2, 0, 1)
    np.testing.assert_array_equal(planes, wanted)
    np.testing.assert_array_equal(image, before)
    assert planes.dtype == dtype
    assert planes.flags.c_contiguous
    torch.from_numpy(planes)  # rejects negative strides


def test_planes_of_volumes_and_swapped_channels():
    volume = np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2)
    np.testing.assert_array_equal(planes_of(volume), np.moveaxis(volume, -1, 0))
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(planes_of(image[..., ::-1]), image[..., ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("shape", [(7, 9, 3), (7, 9), (1, 9, 3), (1, 1, 3)])
def test_packing_gives_what_mmdet_gives(shape, mirrored):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = image[:, ::-1] if mirrored and shape[1] > 1 else image
    sample = {"img": image, "img_path": "a.png", "ori_shape": shape[:2], "gt_ignore_flags": np.array([False, True])}
    sample |= {"gt_bboxes": torch.eye(2, 4).numpy(), "gt_bboxes_labels": np.array([3, 1])}
    ours, theirs = (step(dict(sample)) for step in (PackDetInputs(), MmdetPacking()))
    assert torch.equal(ours["inputs"], theirs["inputs"])
    assert ours["inputs"].is_contiguous()
    for kind in ("gt_instances", "ignored_instances"):
        one, other = (getattr(packed["data_samples"], kind) for packed in (ours, theirs))
        assert torch.equal(one.bboxes, other.bboxes)
        assert torch.equal(one.labels, other.labels)
    assert ours["data_samples"].metainfo == theirs["data_samples"].metainfo
    assert sample["img"] is image


def test_a_sample_without_an_image_is_packed():
    assert set(PackDetInputs()({"img_path": "a.png"})) == {"data_samples"}


# --- JPEG, whose decoder returns RGB and whose size is read from its frame ---


def jpeg(mode, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, len(mode)), dtype=np.uint8).squeeze()
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"\xff\xc0" + b"x" * 40}])
def test_pixels_of_jpeg_files_are_those_of_opencv(mode, options):
    data = jpeg(mode, **options)
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read_image(data), bgr[..., ::-1])
    assert read_image(data, max_pixels=37 * 53).shape == (37, 53, 3)
    with pytest.raises(DataError, match=r"53x37"):
        read_image(data, max_pixels=37 * 53 - 1)


def test_the_size_of_a_thumbnail_is_not_that_of_the_image():
    thumbnail = jpeg("L")
    large = io.BytesIO()
    exif = b"Exif\x00\x00" + thumbnail  # a segment that holds another image
    Image.new("RGB", (200, 100)).save(large, "JPEG", exif=exif)
    with pytest.raises(DataError, match=r"200x100"):
        read_image(large.getvalue(), max_pixels=5000)
