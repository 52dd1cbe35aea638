"""SCNN fits four drawn roads in 30 steps from random weights, with the authors' backbone and with the tiny one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visionzoo.models.wiring import build_model
from visionzoo.structures.task_sample import TaskSample

HEIGHT, WIDTH = 96, 160
WARM_UP, STEPS = 10, 30
# Lanes of each image: slot, column at the bottom, column at the top. The last image has none.
ROADS = (
    ((1, 8, 45), (2, 55, 68), (3, 105, 92), (4, 150, 115)),
    ((2, 40, 70), (3, 120, 95)),
    ((1, 15, 40), (2, 70, 75), (4, 150, 120)),
    (),
)


def road(lanes, seed):
    """Return an image of noise, (3, H, W), with lines of eight pixels, and the map of their slots."""
    draw = np.random.default_rng(seed)
    image = draw.normal(0, 0.3, (3, HEIGHT, WIDTH)).astype(np.float32)
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for slot, bottom, top in lanes:
        place = bottom + (top - bottom) * (HEIGHT - 1 - rows) / (HEIGHT - 1)
        labels[(np.abs(columns - place) < 4) & (rows > 30)] = slot
    image[:, labels > 0] += 2
    return torch.from_numpy(image), torch.from_numpy(labels)


def batch():
    images, samples = [], []
    for seed, lanes in enumerate(ROADS):
        image, labels = road(lanes, seed)
        shape = (HEIGHT, WIDTH)
        sample = TaskSample(metainfo=dict(img_shape=shape, batch_input_shape=shape, ori_shape=shape))
        sample.gt_map = labels
        sample.gt_exist = torch.tensor([float(slot in {lane[0] for lane in lanes}) for slot in range(1, 5)])
        images.append(image)
        samples.append(sample)
    return torch.stack(images), samples


def trained(model, lr, steps, make_optimizer):
    """Return the loss of the map at each step, and the share of lane pixels that the last step classifies correctly."""
    images, samples = batch()
    optimizer = make_optimizer(model.parameters(), lr)
    losses = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / WARM_UP)
        terms = model(images, samples, mode="loss")
        losses.append(float(terms["loss_map"].detach()))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    labels = torch.stack([sample.gt_map for sample in samples])
    with torch.no_grad():
        logits, _ = model(images, samples)
        is_right = logits.argmax(1)[labels > 0] == labels[labels > 0]
    return losses, float(is_right.float().mean())


def model_of(backbone, **head):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    head = dict(type="SCNNHead", input_size=(HEIGHT, WIDTH), **head)
    return build_model(dict(type="TaskModel", backbone=backbone, head=head)).train()


@pytest.mark.slow
def test_the_authors_network_learns_in_30_steps():
    model = model_of(dict(type="VGG", variant="16_bn", large_field=True, out_indices=(4,)))

    def sgd(parameters, lr):
        return torch.optim.SGD(parameters, lr, momentum=0.9, nesterov=True, weight_decay=1e-4)

    losses, accuracy = trained(model, 0.02, STEPS, sgd)
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.15
    assert accuracy > 0.85


def test_the_tiny_network_learns_and_draws_the_lanes():
    model = model_of(dict(type="VGG", variant="tiny", large_field=True, out_indices=(4,)), variant="tiny")
    losses, accuracy = trained(model, 0.02, 40, torch.optim.AdamW)
    assert losses[-1] < 0.15
    assert accuracy > 0.85
    images, samples = batch()
    model.eval()(images, samples, mode="predict")
    for sample, lanes in zip(samples, ROADS, strict=True):
        assert [slot + 1 for slot in sample.pred_lane_slots] == [slot for slot, *_ in lanes]
        for points, (_, bottom, top) in zip(sample.pred_lanes, lanes, strict=True):
            expected = bottom + (top - bottom) * (HEIGHT - 1 - points[:, 1]) / (HEIGHT - 1)
            assert len(points) == 18  # rows 95 to 40 of 96
            assert np.abs(points[:, 0] - expected).max() < 3
