"""Suppression inside a graph equals mmcv's batched suppression, image by image."""

from __future__ import annotations

import pytest
import torch

from visionzoo.graphs.suppression import suppressed


def random_boxes(images: int, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(images, count, 2, generator=generator) * 70
    boxes = torch.cat([corner, corner + torch.rand(images, count, 2, generator=generator) * 30 + 1], -1)
    scores = torch.rand(images, count, generator=generator)
    return boxes, scores, torch.randint(0, 5, (images, count), generator=generator)


@pytest.mark.parametrize(("images", "count", "most"), [(1, 1, 3), (2, 60, 20), (3, 7, 50)])
def test_equals_the_suppression_of_each_image(images, count, most):
    from torchvision.ops import batched_nms

    boxes, scores, labels = random_boxes(images, count, 0)
    found = suppressed(boxes, scores, labels, classes=5, extent=101.0, threshold=0.2, overlap=0.4, most=most)
    for image in range(images):
        own = torch.nonzero(scores[image] > 0.2).squeeze(1)
        kept = own[batched_nms(boxes[image, own], scores[image, own], labels[image, own], 0.4)][:most]
        number = len(kept)
        assert torch.equal(found[0][image, :number], boxes[image, kept])
        assert torch.equal(found[1][image, :number], scores[image, kept])
        assert torch.equal(found[2][image, :number], labels[image, kept])
        assert (found[2][image, number:] == -1).all()
        assert (found[1][image, number:] == 0).all()


def test_without_a_box_above_the_threshold():
    boxes, scores, labels = random_boxes(2, 6, 0)
    found = suppressed(boxes, scores, labels, classes=5, extent=101.0, threshold=1.0, overlap=0.4, most=4)
    assert (found[2] == -1).all()
    assert found[0].shape == (2, 4, 4)


def test_invalid_candidates_never_suppress_others():
    boxes = torch.tensor([[[0.0, 0, 9, 9], [0, 0, 9, 9]]])
    scores, labels = torch.tensor([[0.9, 0.5]]), torch.tensor([[1, 1]])
    valid = torch.tensor([[False, True]])
    found = suppressed(boxes, scores, labels, classes=2, extent=9.0, threshold=0.0, overlap=0.5, most=2, valid=valid)
    assert found[1].tolist() == [[0.5, 0.0]]
