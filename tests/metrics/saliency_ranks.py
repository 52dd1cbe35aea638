"""Print the saliency metric of seven drawn samples as JSON, in as many processes as torchrun started.

torchrun --standalone --nproc-per-node=2 saliency_ranks.py
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from visionzoo.metrics.saliency import SaliencyMetric
from visionzoo.system import distributed

COUNT = 7


def sample(index: int) -> dict[str, Any]:
    """Return a sample of random size as a head outputs it."""
    rng = np.random.default_rng(index)
    height, width = (int(size) for size in rng.integers(9, 20, 2))
    mask = np.zeros((height, width), np.uint8)
    mask[2 : 3 + index, 1 : width // 2] = 255
    noisy = (mask / 255 + 0.3 * rng.normal(size=mask.shape)).clip(0, 1)
    return {
        "pred_map": torch.from_numpy(noisy).float(),
        "gt_map": torch.from_numpy(mask),
        "img_path": f"{index}.png",
        "group": f"group {index // 3}",
    }


def main() -> None:
    """Share samples like mmengine's sampler: in turns, repeating the first so that all processes have equally many."""
    distributed.start(distributed.find_launcher(), torch.device("cpu"), timeout=120)
    world, rank = distributed.world_size(), distributed.rank()
    share = [sample(index % COUNT) for index in range(rank, -(-COUNT // world) * world, world)]
    metric = SaliencyMetric(protocol="gconet", per_image=True)
    metric.process({}, share[:2])
    metric.process({}, share[2:])
    numbers = metric.evaluate(COUNT)
    distributed.stop()
    rows = [row["image"] for row in metric.per_image]
    print(json.dumps({"numbers": numbers, "rows": rows, "share": len(share)}) + "\n", end="", flush=True)


if __name__ == "__main__":
    main()
