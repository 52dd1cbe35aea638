"""Heads of maps, lanes and densities on every registered backbone: one training step, one prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from contract_subjects import Subject, fast_subjects, own, slow_subjects

from visionzoo.errors import ConfigError
from visionzoo.heads.connnet import MapHead
from visionzoo.models.wiring import build_model
from visionzoo.structures.task_sample import TaskSample

# As the preprocessor pads them; the truth of the second image ends before its padding.
SIZE, SMALLER, ORIGINAL = (96, 160), (75, 131), (50, 80)


@dataclass(frozen=True)
class HeadCase:
    """Training data of a head, and the conditions that its predictions must meet.

    Attributes:
        add_truth: (sample, height, width) adds the truth to the sample.
        is_sound: true for a valid predicted sample.
        necks: necks by name; None means no neck.
        least_levels: number of levels that the head needs.
    """

    add_truth: Callable[[TaskSample, int, int], None]
    is_sound: Callable[[TaskSample], bool]
    necks: tuple[str | None, ...] = (None, "RCNet")
    least_levels: int = 1


def _add_mask(sample: TaskSample, height: int, width: int) -> None:
    sample.gt_map = torch.zeros(height, width, dtype=torch.uint8)
    sample.gt_map[20:60, 30:90] = 255


def _add_lanes(sample: TaskSample, height: int, width: int) -> None:
    sample.gt_map = torch.zeros(height, width, dtype=torch.uint8)
    sample.gt_map[20:, 40:50] = 2
    sample.gt_exist = torch.tensor([0.0, 1.0, 0.0, 0.0])


def _add_density(sample: TaskSample, height: int, width: int) -> None:
    sample.gt_density = torch.zeros(height, width)
    sample.gt_density[20:60, 30:90] = 0.001
    sample.gt_count = torch.tensor(2.4)


def _has_maps(sample: TaskSample) -> bool:
    shapes_fit = sample.pred_map.shape == sample.pred_mask.shape == ORIGINAL
    return shapes_fit and bool(sample.pred_map.isfinite().all())


def _has_lanes(sample: TaskSample) -> bool:
    counts = len(sample.pred_lanes), len(sample.pred_lane_slots), len(sample.pred_lane_scores)
    return len(set(counts)) == 1 and bool(((sample.pred_exist >= 0) & (sample.pred_exist <= 1)).all())


def _has_density(sample: TaskSample) -> bool:
    total = sample.pred_density.sum()
    return bool(sample.pred_count.isfinite()) and torch.allclose(total, sample.pred_count, rtol=1e-3, atol=1e-5)


MAPS = {name: HeadCase(_add_mask, _has_maps) for name, cls in own("heads").items() if issubclass(cls, MapHead)}
HEADS = MAPS | {
    "SCNNHead": HeadCase(_add_lanes, _has_lanes, (None, "SpatialMessagePassing")),
    "DensityHead": HeadCase(_add_density, _has_density),
    "HMoDEHead": HeadCase(_add_density, _has_density, (None,), least_levels=2),
}
COMBINATIONS = [(head, neck) for head, case in HEADS.items() for neck in case.necks]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backbone" in metafunc.fixturenames:
        backbones = [
            each for each in [*fast_subjects(), *slow_subjects()] if each.kind == "backbone" and each.reads_images
        ]
        slow = {each.name: [pytest.mark.slow] for each in backbones if each.name.startswith("timm.")}
        shown = [pytest.param(each, id=each.name, marks=slow.get(each.name, [])) for each in backbones]
        metafunc.parametrize("backbone", shown)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def batch(case: HeadCase) -> dict:
    draw = torch.Generator().manual_seed(0)
    shared = {"ori_shape": ORIGINAL, "phrase": "left red box"}
    samples = [TaskSample(metainfo={"img_shape": shape, **shared}) for shape in (SIZE, SMALLER)]
    for sample, shape in zip(samples, (SIZE, SMALLER)):
        case.add_truth(sample, *shape)
    images = [torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=draw) for shape in (SIZE, SMALLER)]
    return {"inputs": images, "data_samples": samples}


def model_on(backbone: Subject, head: str, neck: str | None) -> torch.nn.Module:
    torch.manual_seed(0)
    preprocessor = {"type": "TaskPreprocessor", "mean": [120.0] * 3, "std": [60.0] * 3, "pad_size_divisor": 32}
    parts = {"backbone": dict(backbone.cfg), "head": {"type": head, "variant": "tiny"}}
    if parts["backbone"].pop("text_channels", None) is not None:
        parts["text_encoder"] = {"type": "GRUTextEncoder", "variant": "tiny"}
    if neck is not None:
        parts["neck"] = {"type": neck, "variant": "tiny"}
    return build_model({"type": "TaskModel", "data_preprocessor": preprocessor, **parts})


@pytest.mark.parametrize(("head", "neck"), COMBINATIONS, ids=[f"{head}-{neck}" for head, neck in COMBINATIONS])
def test_trains_and_predicts(backbone: Subject, head: str, neck: str | None) -> None:
    case = HEADS[head]
    if len(backbone.levels().channels) < case.least_levels:
        with pytest.raises(ConfigError, match=head):
            model_on(backbone, head, neck)
        return
    model = model_on(backbone, head, neck)
    data = model.data_preprocessor(batch(case), True)
    losses = model.train()(**data, mode="loss")
    sum(losses.values()).backward()
    assert all(value.isfinite() for value in losses.values())
    gradients = {name: value.grad for name, value in model.head.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    assert any(value.grad is not None and value.grad.any() for value in model.backbone.parameters())
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    with torch.no_grad():
        predictions = model.eval()(**data, mode="predict")
    assert all(case.is_sound(sample) for sample in predictions)
