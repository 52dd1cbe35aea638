"""Grad-CAM as pure functions: the equations, the package grad-cam, layers by name, axes of the output."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visionzoo.analysis.grad_cam import (
    as_feature_map,
    enlarged_map,
    grad_cam,
    gradient_of,
    layer_of,
    watched,
)
from visionzoo.analysis.randomising import parts_from_output, random_stages, rank_correlation
from visionzoo.analysis.undetached import Undetached
from visionzoo.errors import ConfigError, InputError, UnknownName


def seeded(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Classifier(nn.Module):
    """A small classifier whose ReLU works in place on the output of the last convolution."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1))
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(12, 5)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
            self.fc.weight *= scale

    def forward(self, images):
        hidden = self.relu(self.backbone(images)).square()  # a square, so that gradients differ from place to place
        return self.fc(hidden.mean((2, 3)))


def own_map(model, images, label, method, name="backbone.2"):
    layer = layer_of(model, name)
    with watched(layer) as outputs:
        value = model(images.clone().requires_grad_())[:, label].sum()
    (_, output), gradient = gradient_of(value, outputs, layer)
    return enlarged_map(grad_cam(output, gradient, method), images.shape[2:])


@pytest.mark.parametrize(("method", "scale"), [("grad-cam", 1.0), ("grad-cam++", 1e6)])
@pytest.mark.parametrize("name", ["backbone.0", "backbone.1", "relu"])
def test_maps_equal_those_of_the_package_grad_cam(method, scale, name):
    """The package adds 1e-6 to the divisor of Grad-CAM++, so the gradients of this test are large."""
    package = pytest.importorskip("pytorch_grad_cam", reason="the package grad-cam is not installed")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    model, images = Classifier(scale).eval(), seeded(2, 3, 37, 53).float()
    kind = package.GradCAM if method == "grad-cam" else package.GradCAMPlusPlus
    with kind(model, [model.get_submodule(name)]) as theirs:
        expected = theirs(images, [targets.ClassifierOutputTarget(2)] * 2)
    assert expected.max() > 0.99
    torch.testing.assert_close(own_map(model, images, 2, method, name), torch.as_tensor(expected), atol=1e-5, rtol=0)


def test_grad_cam_weights_channels_by_their_mean_gradient():
    activations, gradients = seeded(2, 3, 4, 5), seeded(2, 3, 4, 5, seed=1)
    expected = sum(gradients[:, c].mean((1, 2))[:, None, None] * activations[:, c] for c in range(3)).clamp(min=0)
    torch.testing.assert_close(grad_cam(activations, gradients), expected)


def test_plus_plus_is_equation_19():
    activations, g = seeded(2, 3, 4, 5).relu(), seeded(2, 3, 4, 5, seed=1)
    alpha = g**2 / (2 * g**2 + activations.sum((2, 3), keepdim=True) * g**3)
    weights = (alpha * g.relu()).sum((2, 3), keepdim=True)
    expected = (weights * activations).sum(1).relu()
    torch.testing.assert_close(grad_cam(activations, g, "grad-cam++"), expected)


def test_gradients_of_zero_give_a_map_of_zero():
    for method in ("grad-cam", "grad-cam++"):
        found = enlarged_map(grad_cam(seeded(1, 3, 4, 5), torch.zeros(1, 3, 4, 5).double(), method), (8, 10))
        assert found.shape == (1, 8, 10)
        assert not found.any()


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'grad-cam'"):
        grad_cam(seeded(1, 1, 2, 2), seeded(1, 1, 2, 2), "gradcam")


def test_maps_cover_the_padded_input_and_are_scaled_without_padding():
    places = seeded(2, 3, 4).relu()
    whole = F.interpolate(places[:, None], (24, 32), mode="bilinear")[:, 0]
    found = enlarged_map(places, (24, 32), (21, 19))
    part = whole[:, :21, :19]
    assert found.shape == (2, 21, 19)
    assert float(found.amax()) == 1
    torch.testing.assert_close(found[1] * (part[1].max() - part[1].min()) + part[1].min(), part[1])


@pytest.mark.parametrize("size", [(61, 93), (64, 32), (7, 5)])
@pytest.mark.parametrize("extra", [0, 1])
def test_other_axes_give_the_same_map(size, extra):
    height, width = (-(-side // 8) for side in size)
    plain = seeded(2, 6, height, width)
    last = plain.permute(0, 2, 3, 1)
    tokens = torch.cat([seeded(2, extra, 6), last.flatten(1, 2)], 1)
    assert (as_feature_map(last, size, "channels-last") == plain).all()
    assert (as_feature_map(tokens, size, "tokens") == plain).all()


def test_an_output_of_other_axes_is_an_error_with_the_option():
    with pytest.raises(ConfigError, match="found one of shape 1x6x8; use --layout tokens"):
        as_feature_map(torch.zeros(1, 6, 8), (16, 24), name="blocks.1")
    with pytest.raises(ConfigError, match="found one of shape 1x5; choose a layer that gives a feature map"):
        as_feature_map(torch.zeros(1, 5), (16, 24), name="fc")
    with pytest.raises(ConfigError, match="found 7 for 16x16 pixels"):
        as_feature_map(torch.zeros(1, 7, 8), (16, 16), "tokens", "blocks.1")


def test_a_wrong_layer_is_named_with_the_nearest():
    with pytest.raises(UnknownName, match=r"no layer is called 'backbone.22'; did you mean 'backbone.2'"):
        layer_of(Classifier(), "backbone.22")
    with pytest.raises(ConfigError, match="use backbone:0"):
        layer_of(Classifier(), "backbone:last")


def test_layers_that_cannot_be_explained_are_errors():
    model, images = Classifier(), seeded(1, 3, 16, 24).float()
    model.unused = nn.Conv2d(1, 1, 1)
    with pytest.raises(ConfigError, match="layer unused: expected a layer that runs"):
        own_map(model, images, 0, "grad-cam", "unused")
    layer = layer_of(model, "backbone")
    with watched(layer) as outputs:
        model(images)
    with pytest.raises(ConfigError, match="a layer on which the value depends"):
        gradient_of(torch.ones((), requires_grad=True).exp(), outputs, layer)
    with pytest.raises(ConfigError, match="value to explain: expected a gradient, but the model computes it without"):
        gradient_of(torch.tensor(1.0), outputs, layer)
    with pytest.raises(InputError, match="layer backbone: the gradient of the value is not finite; check the weights"):
        gradient_of((0 * outputs[0].value.sum()).sqrt(), outputs, layer)


def test_undetached_tensors_keep_values_and_graph():
    values = torch.tensor([1.0, 4.0], requires_grad=True).exp()
    with Undetached():
        kept, copied, array = values.detach(), copy.deepcopy(values), values.detach().numpy()
        kept[0] = 0.0  # in place, which must not change the values before
    assert [each.requires_grad for each in (kept, copied, values.detach())] == [True, True, False]
    assert array.tolist() == copied.tolist() == values.tolist()


class Levels(nn.Module):
    """Two feature maps, of which only the first one reaches the value."""

    def forward(self, images):
        return images * 2, F.avg_pool2d(images, 2)


def test_one_of_several_feature_maps_is_chosen_by_its_index():
    model, images = nn.ModuleDict({"backbone": Levels()}), seeded(1, 3, 8, 12)
    for name, expected in ((None, "backbone:0"), ("backbone:0", "backbone:0"), ("backbone:-2", "backbone:-2")):
        layer = layer_of(model, name)
        with watched(layer) as outputs:
            value = model["backbone"](images.clone().requires_grad_())[0].square().sum()
        output, gradient = gradient_of(value, outputs, layer)
        assert output.layer == expected
        torch.testing.assert_close(gradient, 4 * images)
    wrong = {"backbone": "found 2 outputs; choose one: backbone:0", "backbone:5": "from 0 to 1, found 5"}
    for name, expected in wrong.items():
        with pytest.raises(ConfigError, match=expected), watched(layer_of(model, name)):
            model["backbone"](images)


def test_random_weights_are_cascading_reproducible_and_restored():
    model = Classifier()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    changed, drawn = [], []
    for _ in range(2):
        for part in random_stages(model, "cascading", seed=4):
            now = model.state_dict()
            changed.append((part, sorted(name for name in now if not torch.equal(now[name], before[name]))))
        drawn.append({name: value.clone() for name, value in now.items()})
    assert [part for part, _ in changed[:3]] == [*parts_from_output(model)] == ["fc", "backbone.2", "backbone.0"]
    assert [len(names) for _, names in changed[:3]] == [2, 4, 6]
    assert changed[:3] == changed[3:]
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_rank_correlation_is_spearmans():
    values = seeded(6, 7).numpy()
    assert rank_correlation(values, values**3) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)
    assert rank_correlation(values, values * 0) is None
