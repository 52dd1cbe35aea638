"""SCNN as an ONNX file: from images to both kinds of logits, in onnxruntime."""

from __future__ import annotations

import onnxruntime
import pytest
import torch

from visionzoo.models.wiring import build_model


def model_of(**head):
    torch.manual_seed(0)
    backbone = dict(type="VGG", variant="tiny", large_field=True, out_indices=(4,))
    model = build_model(dict(type="TaskModel", backbone=backbone, head=dict(type="SCNNHead", variant="tiny", **head)))
    for value in model.head.messages.parameters():
        torch.nn.init.normal_(value, std=0.05)
    return model.eval()


@pytest.mark.parametrize(
    ("options", "size"),
    [
        pytest.param(dict(input_size=(64, 96)), (64, 96), id="built size"),
        pytest.param(dict(input_size=(64, 96), update_first=False, message_bias=True), (75, 101), id="another, odd"),
    ],
)
def test_onnxruntime_returns_the_same_logits(options, size, tmp_path):
    model, path = model_of(**options), str(tmp_path / "scnn.onnx")
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(images)
    torch.onnx.export(model, (images,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    outputs = session.run(None, {given.name: images.numpy()})
    assert expected[0].std() > 0.01
    for ours, theirs in zip(expected, outputs, strict=True):
        torch.testing.assert_close(torch.from_numpy(theirs), ours, atol=1e-4, rtol=1e-4)
