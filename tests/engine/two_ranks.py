"""Print the losses of one batch of ``rcnet_gfl_r101 --tiny`` as JSON, in as many processes as torchrun started.

torchrun --standalone --nproc-per-node=2 two_ranks.py
"""

from __future__ import annotations

import json
from typing import Any

import torch
from mmengine.registry import DefaultScope

from visionzoo.config import load_config
from visionzoo.engine.loaders import build_dataset, build_loader
from visionzoo.engine.runner import ZooRunner  # noqa: F401 - its imports register the parts
from visionzoo.engine.seeding import seed_everything
from visionzoo.engine.wrappers import DeviceDDP
from visionzoo.models.wiring import build_model
from visionzoo.system import distributed
from visionzoo.weights.loading import without_pretrained

PIPELINE = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.Resize", scale=(96, 64), keep_ratio=False),
    dict(type="mmdet.PackDetInputs"),
]
GROUPS = dict(type="GN", num_groups=8)  # batch statistics depend on the samples of a batch, and would differ by design
BATCH = 4


def losses() -> dict[str, Any]:
    """Return the losses of this process's share of the batch."""
    torch.set_num_threads(1)
    loaded = load_config("rcnet_gfl_r101", tiny=True, options={"model.backbone.norm_cfg": GROUPS})
    distributed.start(distributed.find_launcher(), torch.device("cpu"), timeout=120)
    with DefaultScope.overwrite_default_scope("visionzoo"):
        data = build_dataset(
            {**loaded.cfg.train_dataloader.dataset, "pipeline": PIPELINE, "indices": BATCH}, where="data"
        )
        share = dict(batch_size=BATCH // distributed.world_size(), sampler=dict(type="DefaultSampler", shuffle=False))
        batch = next(iter(build_loader(share, data, seed=0)))
        seed_everything(0)
        bare = without_pretrained(build_model(loaded.cfg.model, num_classes=len(data.metainfo["classes"])))
        bare.init_weights()
        # As after some training: initial scores are so low that their sum is clamped to 1 in every process.
        torch.nn.init.zeros_(bare.bbox_head.gfl_cls.bias)
        bare.train()
        model = bare if distributed.world_size() == 1 else DeviceDDP(bare, torch.device("cpu"))
        terms = model(**bare.data_preprocessor(batch, training=True), mode="loss")
        _, logged = bare.parse_losses(terms)
    distributed.stop()
    return {name: float(value.detach()) for name, value in logged.items()}


if __name__ == "__main__":
    logged = losses()
    print(json.dumps(logged) + "\n", end="", flush=True)
