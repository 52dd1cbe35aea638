"""Connectivity on every backbone of the registry, with and without our neck: one step of training, one prediction."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from contract_subjects import Subject, fast_subjects, own, slow_subjects

from visionzoo.heads.connnet import MapHead
from visionzoo.models.wiring import build_model
from visionzoo.structures.task_sample import TaskSample

HEADS = [name for name, cls in own("heads").items() if issubclass(cls, MapHead)]
NECKS = {"alone": None, "RCNet": {"type": "RCNet", "variant": "tiny"}}

# As the preprocessor pads them; the truth of the second picture ends before its padding.
SIZE, SMALLER = (96, 160), (75, 131)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backbone" in metafunc.fixturenames:
        backbones = [each for each in [*fast_subjects(), *slow_subjects()] if each.kind == "backbone"]
        slow = {each.name: [pytest.mark.slow] for each in backbones if each.name.startswith("timm.")}
        shown = [pytest.param(each, id=each.name, marks=slow.get(each.name, [])) for each in backbones]
        metafunc.parametrize("backbone", shown)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def batch() -> dict:
    draw = torch.Generator().manual_seed(0)
    samples = [TaskSample(metainfo={"img_shape": shape, "ori_shape": (50, 80)}) for shape in (SIZE, SMALLER)]
    for sample, (height, width) in zip(samples, (SIZE, SMALLER)):
        sample.gt_map = torch.zeros(height, width, dtype=torch.uint8)
        sample.gt_map[20:60, 30:90] = 255
    pictures = [torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=draw) for shape in (SIZE, SMALLER)]
    return {"inputs": pictures, "data_samples": samples}


def model_on(backbone: Subject, head: str, neck: dict | None) -> torch.nn.Module:
    torch.manual_seed(0)
    preprocessor = {"type": "TaskPreprocessor", "mean": [120.0] * 3, "std": [60.0] * 3, "pad_size_divisor": 32}
    parts = {"backbone": backbone.cfg, "head": {"type": head, "variant": "tiny"}} | ({"neck": neck} if neck else {})
    return build_model({"type": "TaskModel", "data_preprocessor": preprocessor, **parts})


@pytest.mark.parametrize("neck", list(NECKS))
@pytest.mark.parametrize("head", HEADS)
def test_trains_and_predicts(backbone: Subject, head: str, neck: str) -> None:
    model = model_on(backbone, head, NECKS[neck])
    data = model.data_preprocessor(batch(), True)
    losses = model.train()(**data, mode="loss")
    sum(losses.values()).backward()
    assert all(value.isfinite() for value in losses.values())
    gradients = {name: value.grad for name, value in model.head.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    assert any(value.grad is not None and value.grad.any() for value in model.backbone.parameters())
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    with torch.no_grad():
        found = model.eval()(**data, mode="predict")
    assert all(sample.pred_map.shape == sample.pred_mask.shape == (50, 80) for sample in found)
    assert all(sample.pred_map.isfinite().all() for sample in found)
