"""ConnNet fits 24 drawn images in 150 steps; the binary baseline fits them in the same number of steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from visionzoo.config import load_config
from visionzoo.engine.loaders import build_dataset
from visionzoo.heads.connnet.connectivity import mask_to_connectivity
from visionzoo.metrics.saliency import SaliencyMetric
from visionzoo.models.wiring import build_model

STEPS, BATCH = 150, 4
DATA = "tiny://msra_b?train=24&val=1&test=1&hard=0&seed=0"


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIONZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def dataset_of(pipeline):
    return build_dataset(dict(type="SaliencyDataset", data_root=DATA, split="train", pipeline=pipeline), where="data")


def trained(cfg):
    """Return the config's tiny model after 150 steps of AdamW on its own training pipeline."""
    torch.manual_seed(0)
    np.random.seed(0)
    torch.set_num_threads(1)
    model = build_model(cfg.model).train()
    data = dataset_of(cfg.train_dataloader.dataset.pipeline)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, STEPS, power=0.9)
    order = [index for _ in range(STEPS * BATCH // len(data) + 1) for index in np.random.permutation(len(data))]
    for step in range(STEPS):
        picked = [data[int(index)] for index in order[step * BATCH : (step + 1) * BATCH]]
        batch = {key: [each[key] for each in picked] for key in ("inputs", "data_samples")}
        loss = sum(model(**model.data_preprocessor(batch, True), mode="loss").values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def measured(model, cfg):
    """Return saliency measures on the training images, and the cross-entropy of the raw outputs."""
    data = dataset_of(cfg.val_dataloader.dataset.pipeline)
    metric, losses = SaliencyMetric(), []
    for index in range(len(data)):
        sample = data[index]
        batch = model.data_preprocessor({key: [sample[key]] for key in sample}, False)
        (prediction,) = model(**batch, mode="predict")
        metric.process(None, [prediction.to_dict()])
        height, width = prediction.gt_map.shape
        logits = model(**batch)[..., :height, :width]
        mask = prediction.gt_map[None, None] > 127
        target = mask_to_connectivity(mask) if logits.shape[1] == 8 else mask
        losses.append(float(F.binary_cross_entropy_with_logits(logits, target.float())))
    return metric.evaluate(len(data)) | {"loss": float(np.mean(losses))}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["connnet_r50", "connnet_binary_r50"])
def test_learns_drawn_images(name):
    cfg = load_config(name, tiny=True).cfg
    numbers = measured(trained(cfg), cfg)
    assert numbers["sal/Fmeasure_max"] > 0.9
    assert numbers["loss"] < 0.1
