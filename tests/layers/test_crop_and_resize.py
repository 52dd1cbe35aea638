"""Crops equal TensorFlow's definition of crop_and_resize, written out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from visionzoo.errors import ConfigError
from visionzoo.layers.crop_and_resize import CropAndResizeExtractor

STRIDE = 16
HEIGHT, WIDTH = 7, 11  # size of the map; the image has 112 x 176 pixels


def crop_and_resize(image: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Crop (C, H, W) at y1, x1, y2, x2 (shares of the image) to (C, size, size)."""
    _, height, width = image.shape
    crop = np.zeros((len(image), size, size))
    for row in range(size):
        for column in range(size):
            y = box[0] * (height - 1) + row * (box[2] - box[0]) * (height - 1) / (size - 1)
            x = box[1] * (width - 1) + column * (box[3] - box[1]) * (width - 1) / (size - 1)
            top, left = int(np.floor(y)), int(np.floor(x))
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = image[:, top, left] + (image[:, top, right] - image[:, top, left]) * (x - left)
            lower = image[:, bottom, left] + (image[:, bottom, right] - image[:, bottom, left]) * (x - left)
            crop[:, row, column] = upper + (lower - upper) * (y - top)
    return crop


def feats() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 3, HEIGHT, WIDTH)


# image, x1, y1, x2, y2
ROIS = torch.tensor(
    [
        [0, 0, 0, 176, 112],
        [1, 0, 0, 176, 112],
        [1, 13.5, 20.25, 100.75, 99.0],
        [0, 170, 3, 176, 111.5],
        [0, 40, 50, 43, 52],
        [1, 60, 30, 60, 30],
    ]
)


@pytest.mark.parametrize("size", [2, 5, 17])
def test_crops_are_tensorflows(size: int) -> None:
    feat = feats()
    extractor = CropAndResizeExtractor(output_size=size, out_channels=3, featmap_strides=[STRIDE])
    crops = extractor([feat], ROIS)
    assert crops.shape == (len(ROIS), 3, size, size)
    for crop, roi in zip(crops, ROIS, strict=True):
        box = roi[[2, 1, 4, 3]].numpy() / (STRIDE * np.array([HEIGHT, WIDTH, HEIGHT, WIDTH]))
        expected = crop_and_resize(feat[int(roi[0])].double().numpy(), box, size)
        np.testing.assert_allclose(crop.numpy(), expected, atol=2e-5)


def test_a_crop_of_the_whole_map_in_its_own_size_is_the_map() -> None:
    feat = torch.randn(1, 2, 9, 9)
    whole = torch.tensor([[0, 0, 0, 9.0 * STRIDE, 9.0 * STRIDE]])
    crop = CropAndResizeExtractor(9, 2, [STRIDE])([feat], whole)
    torch.testing.assert_close(crop, feat, rtol=0, atol=1e-5)


def test_boxes_are_enlarged_about_their_middles() -> None:
    extractor, feat = CropAndResizeExtractor(5, 3, [STRIDE]), feats()
    small, large = torch.tensor([[1, 40, 32, 80, 64.0]]), torch.tensor([[1, 20, 16, 100, 80.0]])
    torch.testing.assert_close(extractor([feat], small, roi_scale_factor=2.0), extractor([feat], large))


def test_without_boxes_there_are_no_crops_and_gradients_pass() -> None:
    extractor = CropAndResizeExtractor(5, 3, [STRIDE])
    feat = feats().requires_grad_()
    assert extractor([feat], ROIS[:0]).shape == (0, 3, 5, 5)
    extractor([feat], ROIS[:1]).sum().backward()
    torch.testing.assert_close(feat.grad[0].sum((1, 2)), torch.full((3,), 25.0))  # bilinear weights add up to 1
    assert feat.grad[1].count_nonzero() == 0
    assert extractor.num_inputs == 1


@pytest.mark.parametrize("options", [{"featmap_strides": [8, 16]}, {"featmap_strides": []}, {"output_size": 1}])
def test_several_maps_and_single_pixels_are_refused(options: dict) -> None:
    with pytest.raises(ConfigError, match="expected one map"):
        CropAndResizeExtractor(**options)
