"""HMoDE as an ONNX file: from images to the final map at a quarter of the resolution, in onnxruntime."""

from __future__ import annotations

import onnxruntime
import pytest
import torch

from visionzoo.models.wiring import build_model


class _ToDensity(torch.nn.Module):
    """People per pixel, the output that a program serves from the file."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(images)["maps"][:, -1] / self.model.head.log_para


@pytest.mark.parametrize("size", [(75, 101), pytest.param((64, 96), marks=pytest.mark.slow)])
def test_onnxruntime_returns_the_same_density(size, tmp_path):
    torch.manual_seed(0)
    model = build_model(
        dict(
            type="TaskModel",
            backbone=dict(type="VGG", variant="tiny", out_indices=(2, 3, 4)),
            head=dict(type="HMoDEHead", variant="tiny"),
        )
    )
    for module in model.head.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
            torch.nn.init.uniform_(module.bias, 0, 0.2)
    whole = _ToDensity(model).eval()
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = whole(images)
    path = str(tmp_path / "hmode.onnx")
    torch.onnx.export(whole, (images,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    (density,) = session.run(None, {given.name: images.numpy()})
    assert expected.std() > 1e-4
    torch.testing.assert_close(torch.from_numpy(density), expected, atol=1e-6, rtol=1e-4)
