"""A model and a data set that train in milliseconds and use every kind of randomness."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from visionzoo.registry import DATASETS, METRICS, MODELS, TRANSFORMS


@TRANSFORMS.register_module()
class ToyAugment:
    """Shift by Python's, scale by NumPy's and add noise by torch's random numbers."""

    def __call__(self, results: dict) -> dict:
        x = torch.full((3, 8, 6), float(results["number"]) / 16)
        x = (x + random.random()) * np.random.uniform(0.5, 1.5) + 0.1 * torch.randn(x.shape)
        sample = BaseDataElement(metainfo={"img_path": results["img_path"], "label": results["number"] % 3})
        return {"inputs": x.float(), "data_samples": sample}


@DATASETS.register_module()
class ToyData(BaseDataset):
    """``count`` numbers; the images of ``broken`` contain a NaN."""

    METAINFO = {"classes": ("a", "b", "c")}

    def __init__(self, count: int = 14, broken: tuple[int, ...] = (), **kwargs: Any):
        self.count, self.broken = count, tuple(broken)
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        return [{"number": i, "img_path": f"{i:03d}.jpg", "width": 6, "height": 4 + i % 4} for i in range(self.count)]

    def __getitem__(self, index: int) -> dict:
        item = super().__getitem__(index)
        if index in self.broken:
            item["inputs"][0, 0, 0] = float("nan")
        return item


@MODELS.register_module()
class ToyNet(BaseModel):
    """Convolution, norm, dropout, classifier.

    The process receives ``signal_name`` at the start of training iteration ``die_at``, once per marker file.
    """

    def __init__(
        self,
        width: int = 4,
        dropout: float = 0.3,
        num_classes: int = 3,
        die_at: int | None = None,
        signal_name: str = "SIGKILL",
        marker: str = "",
        norm: str = "batch",
    ):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(2, width)
        self.drop = nn.Dropout(dropout)
        self.bbox_head = nn.Linear(width, num_classes)
        self.die_at, self.signal, self.marker = die_at, getattr(signal, signal_name), marker
        self.seen = 0

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any:
        x = torch.stack(list(inputs)) if isinstance(inputs, (list, tuple)) else inputs
        x = self.drop(self.norm(self.stem(x)).relu()).mean((2, 3))
        logits = self.bbox_head(x)
        if mode == "tensor":
            return logits
        labels = torch.tensor([sample.label for sample in data_samples], device=logits.device)
        if mode == "loss":
            self._maybe_die()
            return {"loss_cls": nn.functional.cross_entropy(logits, labels), "loss_small": 0.01 * logits.pow(2).mean()}
        return [{"score": row, "label": label} for row, label in zip(logits.softmax(-1), labels)]

    def _maybe_die(self) -> None:
        self.seen += 1
        if self.die_at is not None and self.seen == self.die_at and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), self.signal)


class ToldProgress(nn.Module):
    """Record the reported total number of steps at ``told[step]``."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("told", torch.zeros(16))

    def set_training_progress(self, step: int, total_steps: int) -> None:
        self.told[step] += total_steps


@MODELS.register_module()
class ToldNet(ToyNet):
    """A toy with a part, two modules deep, that receives the training progress."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.inner = nn.Sequential(ToldProgress())


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Mean score of the true class. It needs no threshold and changes with every weight."""

    default_prefix = "toy"

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results += [(float(s["score"][int(s["label"])]), int(s["label"])) for s in data_samples]

    def compute_metrics(self, results: list) -> dict[str, float]:
        self.per_class = {
            "score": [{"class": "abc"[k], "mean": _mean([s for s, j in results if j == k])} for k in range(3)]
        }
        return {"acc": _mean([score for score, _ in results]), "count": float(len(results))}


@METRICS.register_module()
class FallingMetric(BaseMetric):
    """``fall/MAE``, a tensor that starts at half of ``value`` and halves with every validation; NaN with ``is_nan``."""

    default_prefix = "fall"

    def __init__(self, value: float = 8.0, is_nan: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.value = float("nan") if is_nan else value

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results += [0] * len(data_samples)

    def compute_metrics(self, results: list) -> dict[str, Any]:
        self.value /= 2
        return {"MAE": torch.tensor(self.value)}


@METRICS.register_module()
class ScriptedMetric(BaseMetric):
    """``script/score``, the next one of ``values`` with every validation; the last one repeats. None is NaN."""

    default_prefix = "script"

    def __init__(self, values: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.values = [float("nan") if value is None else value for value in values]

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results += [0] * len(data_samples)

    def compute_metrics(self, results: list) -> dict[str, Any]:
        return {"score": self.values.pop(0) if len(self.values) > 1 else self.values[0]}


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / max(1, len(numbers))


CONFIG = """
custom_imports = dict(imports=["engine_toys"], allow_failed_imports=False)
default_scope = "visionzoo"
task = "classification"
model = dict(type="ToyNet")
train_pipeline = [dict(type="ToyAugment")]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="ToyData", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="ToyData", count=7, pipeline=train_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ToyMetric")
test_evaluator = val_evaluator
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=3, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1, momentum=0.9), clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=5),
    dict(type="MultiStepLR", by_epoch=True, milestones=[2], gamma=0.5),
]
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=2),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=1),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
auto_scale_lr = dict(enable=False, base_batch_size=32)
randomness = dict(seed=0, deterministic=False)
env_cfg = dict(mp_cfg=dict(mp_start_method="spawn", opencv_num_threads=0))
"""


def weights_of(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]
