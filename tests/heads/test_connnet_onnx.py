"""ConnNet as an ONNX file: the whole model from images to maps of votes, in onnxruntime."""

from __future__ import annotations

import onnxruntime
import pytest
import torch

from visionzoo.heads.connnet.connectivity import connectivity_to_map
from visionzoo.models.wiring import build_model

TRUNK = dict(type="mmdet.ResNet", depth=18, base_channels=16)
EVERYTHING = dict(non_local=("c4", "c5"), aspp=True)


class _ToMap(torch.nn.Module):
    """Only the map, the output that a program serves from the file."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        head = self.model.head
        return connectivity_to_map(self.model(images).sigmoid(), head.pair, head.neighbours)


def whole_model(**options):
    """Return a model with weights spread enough that maps vary and no block is the identity."""
    torch.manual_seed(0)
    head = dict(type="ConnectivityHead", variant="tiny", **options)
    model = build_model(dict(type="TaskModel", backbone=TRUNK, head=head))
    for name, value in model.head.named_parameters():
        if "relations" in name and name.endswith("out.1.weight"):
            torch.nn.init.ones_(value)
    torch.nn.init.normal_(model.head.predictor.weight, std=0.3)
    return _ToMap(model).eval()


def run_recorded(whole, images, path):
    torch.onnx.export(whole, (images,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    (maps,) = session.run(None, {given.name: images.numpy()})
    return torch.from_numpy(maps)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        pytest.param(EVERYTHING, (75, 101), id="odd"),
        pytest.param({}, (64, 96), id="padded", marks=pytest.mark.slow),
        pytest.param(dict(pair="mean", neighbours=4, num_classes=2), (75, 101), id="classes", marks=pytest.mark.slow),
    ],
)
def test_onnxruntime_returns_the_same_maps(options, size, tmp_path):
    whole = whole_model(**options)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = whole(images)
    maps = run_recorded(whole, images, str(tmp_path / "connnet.onnx"))
    assert expected.std() > 0.01
    torch.testing.assert_close(maps, expected, atol=1e-4, rtol=0)
