"""Small searches that several tests use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from visionzoo.algorithms.bossnas import (
    Branch,
    HyTraSupernet,
    Predictor,
    Projector,
    SearchSettings,
    SiamesePair,
)

# The paper's supernet with an eighth of its width, for images of 64 pixels.
NARROW: dict[str, Any] = {"image_size": 64, "width": 8, "head_dim": 8}


def random_images(count: int, side: int = 64) -> list[np.ndarray]:
    """Return images of coloured noise; each image has a different mean."""
    draw = np.random.default_rng(0)
    return [
        np.clip(draw.normal(draw.uniform(40, 210, 3), 40, (side, side, 3)), 0, 255).astype(np.uint8)
        for _ in range(count)
    ]


def small_settings(work_dir: Path, **changes: Any) -> SearchSettings:
    """Return settings of two blocks of two epochs over 16 images, which take seconds."""
    settings = dict(
        blocks=2, epochs=2, rate_every=2, paths=2, views=2, batch_size=8, update_interval=1, lr=1.0, warmup_epochs=0,
        projector_width=16, projection=16, rating_batch_size=8, rating_images=8, space_options=NARROW,
    )  # fmt: skip
    return SearchSettings(work_dir, **{**settings, **changes})  # type: ignore[arg-type]


def narrow_pair(block: int = 0, **options: Any) -> SiamesePair:
    """Return two branches up to ``block`` with equal weights and random scales and shifts of all norms."""
    online, target = HyTraSupernet(**NARROW, **options).build_all(), HyTraSupernet(**NARROW, **options).build_all()
    torch.manual_seed(1)
    shuffle_norms(online)
    projectors = [Projector(*online.projected(block), hidden=16, out=16) for _ in range(2)]
    target.load_state_dict(online.state_dict())
    projectors[1].load_state_dict(projectors[0].state_dict())
    return SiamesePair(Branch(online, projectors[0]), Branch(target, projectors[1]), Predictor(16, 16))


def shuffle_norms(module: nn.Module) -> None:
    """Draw scales around 1 and shifts around 0, so that no op equals its shortcut."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.2)
