"""Print the count metric of seven samples as JSON, in as many processes as torchrun started.

torchrun --standalone --nproc-per-node=2 counting_ranks.py
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from visionzoo.metrics.counting import CountMetric
from visionzoo.system import distributed

COUNT = 7


def sample(index: int) -> dict[str, Any]:
    """Return a sample as a head outputs it: random size, a density of a quarter of it; the fourth without people."""
    rng = np.random.default_rng(index)
    height, width = (int(side) for side in rng.integers(20, 40, 2))
    density = rng.random((height // 4, width // 4)).astype(np.float32) / 4
    count = 0 if index == 3 else int(rng.integers(1, 30))
    return {
        "img_path": f"{index}.jpg",
        "ori_shape": (height, width),
        "gt_points": torch.from_numpy(rng.random((count, 2)) * [width, height]),
        "gt_count": torch.tensor(float(count)),
        "pred_density": torch.from_numpy(density),
        "pred_count": torch.tensor(float(density.sum())),
        "level": 0 if count == 0 else 1 + index % 4,
        "luminance": index % 4,
        "weather": ("rain", "snow")[index % 2],
    }


def main() -> None:
    """Share samples like mmengine's sampler: in turns, repeating the first so that all processes have equally many."""
    distributed.start(distributed.find_launcher(), torch.device("cpu"), timeout=120)
    world, rank = distributed.world_size(), distributed.rank()
    share = [sample(index % COUNT) for index in range(rank, -(-COUNT // world) * world, world)]
    metric = CountMetric(game_levels=(0, 2), categories=("level",))
    metric.process({}, share[:2])
    metric.process({}, share[2:])
    numbers = metric.evaluate(COUNT)
    distributed.stop()
    print(json.dumps({"numbers": numbers, "share": len(share)}) + "\n", end="", flush=True)


if __name__ == "__main__":
    main()
