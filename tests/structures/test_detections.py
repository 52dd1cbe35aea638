"""Order of detections: rounded scores decide, and equal ones have a fixed order that rounding cannot change."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.structures import InstanceData

from visionzoo.structures.detections import detections_of


def detections(scores, labels, lefts):
    boxes = torch.tensor([[left, 1.0, left + 5.0, 9.0] for left in lefts]).reshape(-1, 4)
    instances = InstanceData(scores=torch.tensor(scores), labels=torch.tensor(labels, dtype=torch.long), bboxes=boxes)
    return detections_of(instances, (99, 99))


def test_the_highest_score_comes_first():
    assert detections([0.1, 0.9, 0.5], [0, 0, 0], [3, 2, 1]).boxes[:, 0].tolist() == [2, 1, 3]


def test_the_last_bit_of_a_score_changes_no_order():
    up, down = np.nextafter(np.float32(0.5), [np.float32(1), np.float32(0)]).tolist()
    for scores in ([up, down, 0.5], [down, up, 0.5], [0.5, 0.5, up]):
        ordered = detections(scores, [1, 0, 0], [7.0, 8.0, 2.0])
        assert ordered.labels.tolist() == [0, 0, 1]
        assert ordered.boxes[:, 0].tolist() == [2, 8, 7]


def test_written_scores_never_rise():
    scores = np.random.RandomState(0).uniform(0.5, 0.5 + 1e-5, 200).tolist()
    written = detections(scores, [0] * 200, list(range(200))).to_json()["scores"]
    assert written == sorted(written, reverse=True)


def test_no_detection():
    assert len(detections([], [], [])) == 0
