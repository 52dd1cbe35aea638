"""Print what a test of six samples leaves for its report, in as many processes as torchrun started.

torchrun --standalone --nproc-per-node=2 two_reports.py
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from visionzoo.engine.evidence import EvidenceHook
from visionzoo.structures.task_sample import TaskSample
from visionzoo.system import distributed

COUNTS = [3.0, 9.0, 5.5, 2.0, 7.0]  # predicted; every image has three people


class Images:
    """A data set of images in memory, of five sizes."""

    def get_data_info(self, index: int) -> dict[str, Any]:
        return {"img": np.full((20 + index, 31, 3), 99, np.uint8), "sample_idx": index}


def tested(index: int) -> TaskSample:
    density = torch.full((4, 5), COUNTS[index] / 20)
    sample = TaskSample(metainfo=dict(sample_idx=index, ori_shape=(20 + index, 31), group_size=1))
    sample.set_data(dict(gt_points=torch.ones(3, 2), pred_count=COUNTS[index], pred_density=density))
    return sample


def collected() -> Any:
    """Return the evidence of all processes, each of which tests batches of two; the last sample is filled up."""
    rank, size = distributed.rank(), distributed.world_size()
    order = [index % len(COUNTS) for index in range(rank, 6, size)]
    batches = [order[start : start + 2] for start in range(0, len(order), 2)]
    loader = SimpleNamespace(batch_sampler=batches, dataset=Images())
    runner: Any = SimpleNamespace(test_dataloader=loader)
    hook = EvidenceHook({"counting": None})
    hook.before_test_epoch(runner)
    for number, batch in enumerate(batches):
        hook.after_test_iter(runner, number, {}, [tested(index) for index in batch])
    return hook.gathered()


if __name__ == "__main__":
    distributed.start(distributed.find_launcher(), torch.device("cpu"), timeout=120)
    found = collected()
    if distributed.is_first():
        evidence = found["counting"]
        examples = [[e.error, e.index, e.sample_id, [image.size for image in e.images]] for e in evidence.examples]
        print(json.dumps({"examples": examples, "records": len(evidence.in_order), "failures": len(evidence.failures)}))
    distributed.stop()
