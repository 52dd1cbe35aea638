"""nms, soft-nms, nms_match, RoIAlign and RoIPool against loops written from their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from mmcv.ops import batched_nms, nms, nms_match, roi_align, roi_pool, soft_nms
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close


def random_boxes(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 30
    size = torch.rand(count, 2, generator=generator) * 20
    return torch.cat([corner, corner + size], 1), torch.rand(count, generator=generator)


def overlap(a: list[float], b: list[float], offset: int = 0) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def slow_nms(boxes: list[list[float]], scores: list[float], threshold: float, offset: int) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(overlap(boxes[index], boxes[other], offset) <= threshold for other in kept):
            kept.append(index)
    return kept


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("count", [0, 1, 37])
def test_nms_equals_loop(count: int, offset: int):
    boxes, scores = random_boxes(count)
    dets, keep = nms(boxes, scores, 0.3, offset=offset)
    assert keep.tolist() == slow_nms(boxes.tolist(), scores.tolist(), 0.3, offset)
    assert_close(dets, torch.cat([boxes[keep], scores[keep, None]], 1))


def test_nms_offset_decides():
    """Two adjacent one-pixel boxes are disjoint without offset, and share a third with it."""
    boxes, scores = torch.tensor([[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 2.0, 1.0]]), torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.3, offset=0)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.3, offset=1)[1].tolist() == [0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_nms_takes_every_precision(dtype: torch.dtype):
    boxes = torch.tensor([[0, 0, 8, 8], [0, 0, 8, 7], [20, 20, 30, 30]], dtype=dtype)
    assert nms(boxes, torch.tensor([0.5, 0.75, 0.25], dtype=dtype), 0.5)[1].tolist() == [1, 2]


def test_batched_nms_keeps_classes_apart():
    boxes, scores = torch.tensor([[0.0, 0.0, 8.0, 8.0]] * 3), torch.tensor([0.5, 0.9, 0.7])
    _, keep = batched_nms(boxes, scores, torch.tensor([0, 1, 1]), dict(type="nms", iou_threshold=0.5))
    assert keep.tolist() == [1, 0]


def slow_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset):
    left, dets, kept = [(score, index) for index, score in enumerate(scores)], [], []
    while left:
        score, index = max(left)
        dets.append([*boxes[index], score])
        kept.append(index)
        lowered = []
        for other_score, other in left:
            iou = overlap(boxes[index], boxes[other], offset)
            factor = {
                "naive": 0.0 if iou >= threshold else 1.0,
                "linear": 1 - iou if iou >= threshold else 1.0,
                "gaussian": math.exp(-iou * iou / sigma),
            }[method]
            if other != index and other_score * factor >= min_score:
                lowered.append((other_score * factor, other))
        left = lowered
    return dets, kept


@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("min_score", [0.001, 0.4])
def test_soft_nms_equals_loop(method: str, offset: int, min_score: float):
    boxes, scores = random_boxes(25)
    dets, keep = soft_nms(boxes, scores, 0.3, 0.5, min_score, method, offset)
    expected, expected_keep = slow_soft_nms(boxes.tolist(), scores.tolist(), 0.3, 0.5, min_score, method, offset)
    assert keep.tolist() == expected_keep
    assert_close(dets, torch.tensor(expected))


def test_soft_nms_without_boxes_and_with_only_poor_ones():
    assert soft_nms(torch.zeros(0, 4), torch.zeros(0))[1].tolist() == []
    boxes = torch.tensor([[0.0, 0.0, 5.0, 5.0], [20.0, 0.0, 25.0, 5.0]])
    assert soft_nms(boxes, torch.tensor([0.1, 0.2]), min_score=0.5)[1].tolist() == [1]


def test_nms_match_groups_equal_loop():
    boxes, scores = random_boxes(30)
    groups = [group.tolist() for group in nms_match(torch.cat([boxes, scores[:, None]], 1), 0.3)]
    left, expected = sorted(range(30), key=lambda i: -scores[i]), []
    while left:
        group = [left[0]] + [i for i in left[1:] if overlap(boxes[left[0]].tolist(), boxes[i].tolist()) >= 0.3]
        expected.append(group)
        left = [i for i in left if i not in group]
    assert groups == expected
    assert nms_match(torch.zeros(0, 5), 0.5) == []


def value_at(plane: Tensor, y: float, x: float) -> Tensor:
    """Interpolate bilinearly; up to a pixel outside the border counts, further out is zero."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return plane.new_zeros(())
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, along = y - top, x - left
    upper = (1 - along) * plane[top, left] + along * plane[top, right]
    lower = (1 - along) * plane[bottom, left] + along * plane[bottom, right]
    return (1 - down) * upper + down * lower


def slow_roi_align(feats, rois, size, scale, ratio, mode, aligned):
    out = feats.new_zeros(len(rois), feats.shape[1], *size)
    for n, roi in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (value * scale - (0.5 if aligned else 0) for value in roi[1:])
        width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
        bin_h, bin_w = height / size[0], width / size[1]
        rows, columns = (ratio, ratio) if ratio > 0 else (math.ceil(bin_h), math.ceil(bin_w))
        for c in range(feats.shape[1]):
            for i in range(size[0]):
                for j in range(size[1]):
                    samples = [
                        value_at(
                            feats[int(roi[0]), c],
                            y1 + (i + (a + 0.5) / rows) * bin_h,
                            x1 + (j + (b + 0.5) / columns) * bin_w,
                        )
                        for a in range(rows)
                        for b in range(columns)
                    ]
                    stacked = torch.stack(samples)
                    out[n, c, i, j] = stacked.mean() if mode == "avg" else stacked.max()
    return out


ROIS = torch.tensor(
    [[0, 1.0, 2.0, 17.3, 11.9], [1, -9.0, -7.0, 8.2, 30.0], [1, 5.5, 5.5, 6.0, 6.1], [0, 30.0, 8.0, 70.0, 50.0]],
    dtype=torch.float64,
)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 2])
def test_roi_align_equals_loop(mode: str, aligned: bool, ratio: int):
    feats = torch.randn(2, 3, 9, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = slow_roi_align(feats, ROIS, (3, 2), 0.5, ratio, mode, aligned)
    assert_close(roi_align(feats, ROIS, (3, 2), 0.5, ratio, mode, aligned), expected)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_roi_align_gradient(mode: str, ratio: int):
    feats = torch.randn(2, 2, 7, 9, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: roi_align(x, ROIS[1:], (2, 3), 0.2, ratio, mode, True), feats)


def test_roi_align_max_on_negative_features_stays_negative():
    feats = torch.full((1, 1, 8, 8), -3.0)
    assert_close(roi_align(feats, ROIS[:1].float(), 2, 0.25, 2, "max", True), torch.full((1, 1, 2, 2), -3.0))


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_roi_align_without_boxes(mode: str):
    feats = torch.randn(2, 3, 5, 7, requires_grad=True)
    pooled = roi_align(feats, torch.zeros(0, 5), (3, 2), 0.5, 0, mode, True)
    assert pooled.shape == (0, 3, 3, 2)
    pooled.sum().backward()
    assert_close(feats.grad, torch.zeros_like(feats))


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_roi_align_in_half_precision(mode: str, dtype: torch.dtype):
    feats = torch.randn(2, 3, 9, 13).to(dtype)
    half = roi_align(feats.requires_grad_(), ROIS.to(dtype), (3, 2), 0.5, 2, mode, True)
    whole = roi_align(feats.float(), ROIS.to(dtype).float(), (3, 2), 0.5, 2, mode, True)
    assert half.dtype == dtype
    assert_close(half.float(), whole, atol=0.02, rtol=0.01)
    half.sum().backward()
    assert feats.grad.dtype == dtype
    assert feats.grad.isfinite().all()


def slow_roi_pool(feats, rois, size, scale):
    out = feats.new_zeros(len(rois), feats.shape[1], *size)
    for n, roi in enumerate(rois.tolist()):
        x1, y1 = roi[1] * scale, roi[2] * scale
        width, height = (roi[3] + 1) * scale - x1, (roi[4] + 1) * scale - y1
        if width <= 0 or height <= 0:
            continue
        for i in range(size[0]):
            for j in range(size[1]):
                rows = slice(*clipped(y1 + i * height / size[0], y1 + (i + 1) * height / size[0], feats.shape[2]))
                columns = slice(*clipped(x1 + j * width / size[1], x1 + (j + 1) * width / size[1], feats.shape[3]))
                window = feats[int(roi[0]), :, rows, columns].flatten(1)
                if window.numel():
                    out[n, :, i, j] = window.amax(1)
    return out


def clipped(low: float, high: float, size: int) -> tuple[int, int]:
    return min(max(math.floor(low), 0), size), min(max(math.ceil(high), 0), size)


MALFORMED = torch.tensor([[1, 9.0, 9.0, 3.0, 12.0]], dtype=torch.float64)


def test_roi_pool_equals_loop():
    feats = torch.randn(2, 3, 9, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 5
    rois = torch.cat([ROIS, MALFORMED])
    assert_close(roi_pool(feats, rois, (3, 2), 0.5), slow_roi_pool(feats, rois, (3, 2), 0.5))


def test_roi_pool_gradient():
    feats = torch.randn(2, 2, 7, 9, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: roi_pool(x, torch.cat([ROIS, MALFORMED]), (2, 3), 0.4), feats)


def test_roi_pool_without_boxes():
    feats = torch.randn(2, 3, 5, 7, requires_grad=True)
    pooled = roi_pool(feats, torch.zeros(0, 5), (3, 2), 0.5)
    assert pooled.shape == (0, 3, 3, 2)
    pooled.sum().backward()
    assert_close(feats.grad, torch.zeros_like(feats))
