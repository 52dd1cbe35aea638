"""Run a small search in its own process: ``bossnas_process.py WORK_DIR [kill STEP]``.

With ``kill``, the process ends by SIGKILL when its step STEP begins (counted from 0 in this process). Each process
prints the result of the search and a checksum of all weights as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from bossnas_toys import random_images, small_settings

from visionzoo.algorithms.bossnas import search as run_search
from visionzoo.algorithms.bossnas.search import _Search
from visionzoo.system import distributed


def main() -> None:
    torch.set_num_threads(1)
    work_dir, *kill = sys.argv[1:]
    seen: dict[str, Any] = {"steps": 0}
    step = _Search._train_step

    def train_step(self: _Search, views: torch.Tensor) -> None:
        if kill and seen["steps"] == int(kill[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        seen["steps"] += 1
        seen["pair"] = self.pair
        step(self, views)

    _Search._train_step = train_step  # type: ignore[method-assign]
    share = 8 // int(os.environ.get("WORLD_SIZE", "1"))
    settings = small_settings(Path(work_dir), batch_size=share, update_interval=3, checkpoint_every=1)
    images = random_images(16)
    outcome = run_search(settings, train_images=images, val_images=images)
    weights = hashlib.sha256()
    for name, value in sorted(seen["pair"].named_parameters()):
        weights.update(name.encode() + value.detach().numpy().tobytes())
    result = {
        "best": outcome.best_paths,
        "losses": outcome.losses,
        "weights": weights.hexdigest(),
        "steps": seen["steps"],
    }
    print(json.dumps(result) + "\n", end="", flush=True)
    distributed.stop()


if __name__ == "__main__":
    main()
