"""The fast form of a model: equal outputs, an unchanged model, and only the norms that are proven."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models import resnet18

from visionzoo.backbones.dinat.blocks import NeighborhoodAttention
from visionzoo.models.fast_form import FastForm, is_channels_last
from visionzoo.models.norm_pairs import norm_pairs
from visionzoo.registry import MODELS


class Block(nn.Module):
    """A convolution, and a norm of what a function makes of it."""

    def __init__(self, between: Callable[[Any, Tensor], Tensor]):
        super().__init__()
        self.conv, self.bn, self.other = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.between(self, self.conv(x))


@torch.no_grad()
def settled(model: nn.Module) -> Any:
    """Return the model in eval mode; each norm changes its input."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            if module.affine:
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_()
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    model.eval()  # returns None for mmdet's ResNet
    return model


@torch.no_grad()
def outputs(model: nn.Module, form: FastForm | None = None, image: Tensor | None = None) -> list[Tensor]:
    if image is None:
        dtype = next(model.parameters()).dtype
        image = torch.linspace(-1, 1, 3 * 32 * 32, dtype=dtype).reshape(1, 3, 32, 32)
    if form is None:
        found = model(image)
    else:
        with form.applied():
            found = model(image)
    return [found] if isinstance(found, Tensor) else list(found)


def assert_equal_forms(model: nn.Module, form: FastForm) -> None:
    """Compare both forms in float64, in which rounding hides no mistake."""
    model.double()
    assert form.about()["name"] == "fast"
    for fast, plain in zip(outputs(model, form), outputs(model), strict=True):
        assert (fast - plain).abs().max() <= 1e-12 * plain.abs().max()


NETS: dict[str, Callable[[], Any]] = {
    "torchvision": resnet18,
    "mmdet": lambda: MODELS.build(
        dict(type="mmdet.ResNet", depth=50, num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,))
    ),
    "mmcv": lambda: nn.Sequential(ConvModule(3, 4, 3, norm_cfg=dict(type="BN")), nn.Conv2d(4, 2, 1)),
    "sequence": lambda: nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4, affine=False), nn.ReLU()),
    "own pairs": lambda: Block(lambda self, x: self.bn(x).relu()),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_outputs_are_equal_and_all_norms_are_folded(name: str, channels_last: bool) -> None:
    model = settled(NETS[name]())
    form = FastForm(model, channels_last=channels_last)
    norms = sum(isinstance(part, nn.BatchNorm2d) for part in model.modules()) - hasattr(model, "other")
    about = {"name": "fast", "folded_norms": norms, "channels_last": channels_last, "kept_tables": 0}
    assert form.about() == about
    assert_equal_forms(model, form)


def test_3d_convolutions_are_folded() -> None:
    model = settled(nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2)))
    form, volume = FastForm(model), torch.randn(1, 1, 4, 5, 6)
    assert form.about()["folded_norms"] == 1
    torch.testing.assert_close(outputs(model, form, volume), outputs(model, image=volume))


UNPROVEN: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "read twice": lambda self, x: self.bn(x) + x,
    "an operation between": lambda self, x: self.bn(x.relu()),
    "a decision on values": lambda self, x: self.bn(x) if x.mean() > 0 else x,
    "a decision on the shape": lambda self, x: self.bn(x) if x.shape[-1] > 8 else x,
    "two norms": lambda self, x: self.bn(x) + self.other(x),
    "called twice": lambda self, x: self.bn(self.conv(self.bn(x))),
    "returned": lambda self, x: [self.bn(x), x],  # type: ignore[dict-item,return-value]
    "the weight is read": lambda self, x: self.bn(nn.functional.conv2d(x, self.conv.weight)),
}


@pytest.mark.parametrize("name", UNPROVEN)
def test_a_norm_that_is_not_proven_stays(name: str) -> None:
    model = settled(Block(UNPROVEN[name]))
    assert norm_pairs(model) == []
    assert "between" in vars(model)
    assert "forward" not in vars(model.conv)


def test_shared_parts_and_subclasses_stay() -> None:
    class OwnConv(nn.Conv2d):
        pass

    shared = nn.Conv2d(3, 3, 1)
    pairs = [nn.Sequential(shared, nn.BatchNorm2d(3)), nn.Sequential(shared, nn.BatchNorm2d(3))]
    assert norm_pairs(nn.ModuleList(pairs)) == []
    tied = [nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)) for _ in range(2)]
    tied[1][0].weight = tied[0][0].weight
    assert norm_pairs(nn.ModuleList(tied)) == []
    assert norm_pairs(nn.Sequential(OwnConv(3, 3, 1), nn.BatchNorm2d(3))) == []
    assert norm_pairs(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))) == []


def test_the_model_is_unchanged_outside() -> None:
    model = settled(resnet18())
    before = {name: (value, value.clone()) for name, value in model.state_dict(keep_vars=True).items()}
    form = FastForm(model, channels_last=True)
    outputs(model, form)
    with pytest.raises(RuntimeError), form.applied():
        model(torch.zeros(1, 2, 8, 8))
    after = model.state_dict(keep_vars=True)
    assert list(after) == list(before)
    for name, (value, copied) in before.items():
        assert after[name] is value
        assert torch.equal(value, copied)
        assert value.is_contiguous()
    assert not any("forward" in vars(part) for part in model.modules())


def test_changed_weights_are_used() -> None:
    model = settled(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    form = FastForm(model)
    outputs(model, form)
    with torch.no_grad():
        model[1].running_mean += 1
    assert_equal_forms(model, form)
    model.load_state_dict({name: value * 2 for name, value in model.state_dict().items()}, assign=True)
    assert_equal_forms(model.eval(), form)


REFUSED: dict[str, Callable[[Any], object]] = {
    "training": lambda model: model.train(),
    "a norm in training": lambda model: model[1].train(),
    "a hook": lambda model: model[0].register_forward_hook(lambda *_: None),
    "bfloat16": lambda model: model.bfloat16(),
    "another device": lambda model: model.to("meta"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_models_run_as_they_are(name: str) -> None:
    model = settled(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    form = FastForm(model)
    outputs(model, form)
    REFUSED[name](model)
    weight = model[0].weight
    assert form.about() == {"name": "exact"}
    with form.applied():
        assert model[0].weight is weight
        assert "forward" not in vars(model[1])
    assert model[0].weight is weight


@pytest.mark.parametrize(("dilation", "size"), [(1, 7), (1, 23), (2, 15)])
def test_biases_of_neighborhood_attention_are_kept_and_equal_bit_for_bit(dilation: int, size: int) -> None:
    layer = NeighborhoodAttention(8, heads=2, kernel_size=3, dilation=dilation).eval()
    form, maps = FastForm(layer), [torch.randn(1, side, side, 8) for side in (size, size + 9)]
    assert form.about()["kept_tables"] == 1
    for x in [*maps, *maps]:
        assert torch.equal(outputs(layer, form, x)[0], outputs(layer, image=x)[0])
    assert layer.kept_tables is None
    with torch.no_grad(), form.applied():
        layer(maps[0])
        assert layer.kept_tables
    with torch.no_grad():
        layer.rpb += 1
        layer.rpb[:, 0] -= 2
    assert torch.equal(outputs(layer, form, maps[0])[0], outputs(layer, image=maps[0])[0])


def test_threads_share_a_form() -> None:
    model = settled(resnet18())
    form, expected = FastForm(model), outputs(model)[0]
    found: list[float] = []

    def run() -> None:
        for _ in range(3):
            found.append(float((outputs(model, form)[0] - expected).abs().max()))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 9
    assert max(found) <= 1e-5 * expected.abs().max()
    assert torch.equal(outputs(model)[0], expected)


def test_the_backbone_decides_on_channels_last() -> None:
    class Stated(nn.Linear):
        CHANNELS_LAST = True

    model = nn.Module()
    model.backbone, model.head = resnet18(), nn.Linear(2, 2)
    assert not is_channels_last(model)  # torchvision's classifier
    model.backbone.fc = nn.Identity()
    assert is_channels_last(model)
    model.backbone = Stated(2, 2)
    assert is_channels_last(model)


class MapsInOtherFormats(TorchDispatchMode):
    """Record the shapes of the maps that convolutions and pools read in another format than channels_last."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        reads_a_map = func._overloadpacket.__name__ in ("convolution", "avg_pool2d", "max_pool2d_with_indices")
        if reads_a_map and not args[0].is_contiguous(memory_format=torch.channels_last):
            self.shapes.append(tuple(args[0].shape))
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("name", ["NASNet", "BossNet", "EfficientNetLite"])
@torch.no_grad()
def test_maps_stay_channels_last(name):
    model, image = settled(MODELS.build(dict(type=name, variant="tiny"))), torch.zeros(2, 3, 67, 94)
    form = FastForm(model)
    assert form.about()["channels_last"]
    with form.applied():
        model(image)  # makes the form
        with MapsInOtherFormats() as found:
            model(image)
    assert [shape for shape in found.shapes if shape[1] != 3] == []  # only the image has another format
