"""HMoDE learns to count: drawn discs, one batch, the released objective."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visionzoo.engine.seeding import seed_everything
from visionzoo.models.wiring import build_model
from visionzoo.ops.density_maps import fixed_density
from visionzoo.structures.task_sample import TaskSample

SIDE, IMAGES = 64, 8


def discs(seed=0):
    """Return images (B, 3, H, W) uint8 of 2 to 30 bright discs on a dim ground, and samples with their densities."""
    draw = np.random.RandomState(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    images, samples = [], []
    for count in np.linspace(2, 30, IMAGES).round().astype(int):
        points = draw.uniform(3, SIDE - 3, (count, 2))
        image = np.full((SIDE, SIDE, 3), 40)
        for x, y in points:
            image[(rows - y) ** 2 + (columns - x) ** 2 <= 9] = draw.randint(150, 256, 3)
        images.append(torch.from_numpy(image.astype(np.uint8)).permute(2, 0, 1))
        sample = TaskSample(metainfo=dict(ori_shape=(SIDE, SIDE)))
        sample.gt_density = torch.from_numpy(fixed_density(points, (SIDE, SIDE)))
        sample.gt_count = torch.tensor(float(count))
        samples.append(sample)
    return images, samples


def model_of(backbone, head, **options):
    return build_model(
        dict(
            type="TaskModel",
            data_preprocessor=dict(
                type="TaskPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
            ),
            backbone=dict(type="VGG", variant=backbone, out_indices=(2, 3, 4)),
            head=dict(type="HMoDEHead", variant=head, **options),
        )
    )


def train(model, steps, lr):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    images, samples = discs()
    data = model.data_preprocessor({"inputs": images, "data_samples": samples}, training=True)
    losses = []
    for step in range(steps):
        model.head.set_training_progress(step, steps)
        loss = sum(model.train()(**data, mode="loss").values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def mean_errors(model):
    """Return the MAE in evaluation mode, and the MAE of always predicting the mean."""
    images, samples = discs()
    predictions = model.eval().test_step({"inputs": images, "data_samples": samples})
    true = torch.stack([sample.gt_count for sample in predictions])
    counts = torch.stack([sample.pred_count for sample in predictions])
    return (counts - true).abs().mean().item(), (true - true.mean()).abs().mean().item()


@pytest.mark.parametrize(
    ("backbone", "head", "steps", "lr"),
    [
        ("tiny", "tiny", 100, 3e-3),
        pytest.param("16_bn", "default", 80, 1e-4, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_learns_to_count(backbone, head, steps, lr):
    seed_everything(0)
    model = model_of(backbone, head)
    losses = train(model, steps, lr)
    error, baseline = mean_errors(model)
    assert losses[-1] < losses[0] / 2
    assert baseline == pytest.approx(8, abs=0.5)
    assert error < baseline / 2


def test_learns_with_what_is_mended():
    seed_everything(0)
    model = model_of("tiny", "tiny", compat=False)
    train(model, 100, 3e-3)
    error, baseline = mean_errors(model)
    assert error < baseline / 2
