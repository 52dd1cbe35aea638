"""GCoNet+ learns the shared object of a group: from the loader to maps of new images, on drawn groups."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from visionzoo.datasets.tiny.co_saliency import draw_scene
from visionzoo.engine.seeding import seed_everything
from visionzoo.models.wiring import build_model
from visionzoo.structures.task_sample import TaskSample

SIDE, IMAGES, GROUPS = 64, 8, 3


def resized(array):
    return np.array(Image.fromarray(array).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def group(label, seed, count=IMAGES):
    """Return images (G, 3, H, W), their sample, and the distractors' pixels."""
    scenes = [draw_scene(np.random.RandomState([seed, label, index]), label, SIDE) for index in range(count)]
    images = torch.stack([torch.from_numpy(resized(image)).permute(2, 0, 1) for image, _, _ in scenes])
    sample = TaskSample(metainfo=dict(group_size=count, ori_shape=(SIDE, SIDE)))
    sample.gt_map = [torch.from_numpy(resized(shared.astype(np.uint8) * np.uint8(255))) for _, shared, _ in scenes]
    sample.gt_label = torch.tensor(label)
    return images, sample, [resized(other.astype(np.uint8) * np.uint8(255)) for _, _, other in scenes]


def model_of(backbone, head):
    return build_model(
        dict(
            type="TaskModel",
            data_preprocessor=dict(
                type="TaskPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
            ),
            backbone=dict(type="VGG", variant=backbone),
            head=dict(type="GCoNetPlusHead", variant=head),
        )
    )


def train(model, steps, seed=0):
    """Return losses of all steps: one pair each, the authors' Adam, but with lr 1e-3 and a trained encoder."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99))
    groups = [group(label, seed) for label in range(GROUPS)]
    losses = []
    for step in range(steps):
        first, second = groups[step % GROUPS], groups[(step + 1 + step // GROUPS % 2) % GROUPS]
        pair = {"inputs": [first[0], second[0]], "data_samples": [first[1].clone(), second[1].clone()]}
        terms = model(**model.data_preprocessor(pair, training=True), mode="loss")
        loss = sum(terms.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def f_measure(pred, mask):
    hit = (pred & mask).sum()
    return 2 * hit / max(1, pred.sum() + mask.sum())


def scores(model, label):
    """Return the mean F at threshold 0.5 on new images, for the shared shape and for the distractor."""
    images, sample, distractors = group(label, seed=99, count=6)
    prediction = model.eval().test_step({"inputs": [images], "data_samples": [sample]})[0]
    maps = [one.numpy() >= 0.5 for one in prediction.pred_map]
    shared = [f_measure(pred, mask.numpy() > 127) for pred, mask in zip(maps, prediction.gt_map)]
    return np.mean(shared), np.mean([f_measure(pred, mask > 127) for pred, mask in zip(maps, distractors)])


@pytest.mark.parametrize(
    ("backbone", "head", "steps"),
    [("tiny", "tiny", 90), pytest.param("16_bn", "default", 60, marks=pytest.mark.slow)],
)
def test_learns_what_a_group_shares(backbone, head, steps):
    seed_everything(0)
    model = model_of(backbone, head).train()
    losses = train(model, steps)
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) / 2
    shared, distractor = np.mean([scores(model, label) for label in range(GROUPS)], axis=0)
    assert shared >= 2 * distractor
    assert shared > 0.4
