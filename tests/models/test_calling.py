"""Calls of a model's parts: which phrases a trunk reads for the images of groups and pairs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from visionzoo.models.calling import run_part
from visionzoo.structures.batch import Batch, TextStates
from visionzoo.structures.task_sample import TaskSample


class Phrases(nn.Module):
    """Return the first word of the phrase of every image as a map."""

    def forward(self, feats, batch):
        return batch.text.states[:, 0, :1, None]


def batch_of(sizes: list[int]) -> Batch:
    """Return a batch whose phrase number i has the value i."""
    states = torch.arange(len(sizes), dtype=torch.float32)[:, None, None].expand(-1, 3, 4)
    samples = [TaskSample(metainfo={"group_size": size}) for size in sizes]
    return Batch(samples=samples, text=TextStates(states, torch.ones(len(sizes), 3, dtype=torch.bool)))


@pytest.mark.parametrize(
    ("sizes", "images", "read"),
    [
        ([1, 1], 2, [0, 1]),
        ([3, 1], 4, [0, 0, 0, 1]),
        ([2, 2], 4, [0, 0, 1, 1]),  # pairs in both directions
        ([2, 2], 2, [0, 1]),  # pairs in one direction
        ([1, 1], 1, [0, 1]),  # several phrases for one image
    ],
)
def test_every_image_of_a_sample_has_the_phrase_of_the_sample(sizes: list[int], images: int, read: list[int]) -> None:
    (found,) = run_part(Phrases(), (torch.zeros(images, 2, 4, 6),), batch_of(sizes))
    assert found.flatten().tolist() == read


def test_a_part_without_a_batch_gets_only_its_inputs() -> None:
    (found,) = run_part(nn.Conv2d(2, 3, 1), torch.zeros(2, 2, 4, 6), batch_of([1, 1]))
    assert found.shape == (2, 3, 4, 6)
