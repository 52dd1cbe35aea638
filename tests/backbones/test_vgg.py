"""VGG and the ResNet without pooling: sizes, torchvision's weights and outputs, frozen encoders, wrong images."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from visionzoo.backbones.unpooled_resnet import UnpooledResNet
from visionzoo.backbones.vgg import VGG
from visionzoo.errors import CheckpointError, ConfigError, DataError, UnknownName

PARAMETERS = {"16": 14_714_688, "16_bn": 14_723_136, "19": 20_024_384, "11_bn": 9_225_984}


@pytest.mark.parametrize("variant", PARAMETERS)
def test_sizes_are_torchvisions(variant):
    with torch.device("meta"):
        net, theirs = VGG(variant), getattr(torchvision.models, f"vgg{variant}")()
    assert sum(value.numel() for value in net.parameters()) == PARAMETERS[variant]
    expected = {name: value.shape for name, value in theirs.state_dict().items() if name.startswith("features.")}
    assert {name: value.shape for name, value in net.state_dict().items()} == expected
    assert net.out_channels == (64, 128, 256, 512, 512)
    assert net.out_strides == (1, 2, 4, 8, 16)


@pytest.mark.parametrize("variant", ["11", "13_bn"])
def test_equals_torchvision(variant):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, f"vgg{variant}")(num_classes=3).eval()
    net = VGG(variant).eval()
    net.load_state_dict(net.convert({"state_dict": theirs.state_dict()}))
    image = torch.randn(2, 3, 33, 50)
    with torch.no_grad():
        feats = net(image)
        torch.testing.assert_close(nn.functional.max_pool2d(feats[-1], 2), theirs.features(image))
    assert [tuple(feat.shape[2:]) for feat in feats] == [(33, 50), (16, 25), (8, 12), (4, 6), (2, 3)]


def test_only_some_stages():
    net = VGG("tiny", out_indices=(1, 2))
    assert (net.out_channels, net.out_strides) == ((16, 16), (2, 4))
    assert [feat.shape[1:] for feat in net(torch.randn(1, 3, 8, 12))] == [(16, 4, 6), (16, 2, 3)]
    assert not any(name.startswith("features.10") for name in net.state_dict())  # no weights of unread stages


@pytest.mark.parametrize("kind", [VGG, UnpooledResNet])
def test_frozen_weights_stay_while_norms_change(kind):
    net = kind("tiny", frozen=True).train()
    assert not any(value.requires_grad for value in net.parameters())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net(torch.randn(2, 3, 32, 32) + 1)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all("running_" in name or name.endswith("num_batches_tracked") for name in changed)
    assert all(value.requires_grad for value in kind("tiny").parameters())


@pytest.mark.parametrize("kind", [VGG, UnpooledResNet])
@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels(kind, channels):
    with pytest.raises(DataError, match=rf"3 channels, \(B, 3, H, W\), found \(2, {channels}, 32, 32\)"):
        kind("tiny")(torch.zeros(2, channels, 32, 32))


def test_images_too_small_for_the_last_stage():
    with pytest.raises(DataError, match="at least 16x16 pixels, found 40x15"):
        VGG("tiny")(torch.zeros(1, 3, 15, 40))
    assert VGG("tiny", out_indices=(0,)).eval()(torch.zeros(1, 3, 1, 1))[0].shape == (1, 8, 1, 1)


@pytest.mark.parametrize("kind", [VGG, UnpooledResNet])
def test_wrong_settings(kind):
    with pytest.raises(UnknownName, match=r"no .* variant is called '17'"):
        kind("17")
    for wrong in ((), (1, 0), (4, 5), (0, 0)):
        with pytest.raises(ConfigError, match="out_indices: expected"):
            kind("tiny", out_indices=wrong)


def test_files_of_other_models():
    with pytest.raises(CheckpointError, match=r"found conv1\.weight"):
        VGG.convert({"conv1.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"no features\.0\.weight"):
        VGG.convert({"classifier.0.weight": torch.zeros(1)})


def test_resnet_without_pooling():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=3).eval()
    net = UnpooledResNet("18").eval()
    net.load_state_dict({name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")})
    image = torch.randn(2, 3, 33, 50)
    with torch.no_grad():
        feats = net(image)
        theirs.maxpool = nn.Identity()
        pooled = feats[-1].mean((2, 3))
        torch.testing.assert_close(theirs.fc(pooled), theirs(image))
    assert net.out_strides == (2, 2, 4, 8, 16)
    assert [tuple(feat.shape[2:]) for feat in feats] == [(17, 25), (17, 25), (9, 13), (5, 7), (3, 4)]
    with torch.device("meta"):
        fifty = UnpooledResNet("50")
    assert sum(value.numel() for value in fifty.parameters()) == 23_508_032
    assert fifty.out_channels == (64, 256, 512, 1024, 2048)


@pytest.mark.parametrize("variant", ["16_bn", "11", "tiny"])
def test_large_field_doubles_the_last_stage(variant):
    torch.manual_seed(0)
    net, usual = VGG(variant, large_field=True).eval(), VGG(variant).eval()
    assert net.out_strides == (1, 2, 4, 8, 8)
    assert net.out_channels == usual.out_channels
    net.load_state_dict(usual.state_dict())  # as with ImageNet weights
    image = torch.randn(2, 3, 37, 50)
    with torch.no_grad():
        feats, others = net(image), usual(image)
    assert [tuple(feat.shape[2:]) for feat in feats] == [(37, 50), (18, 25), (9, 12), (4, 6), (4, 6)]
    assert all(torch.equal(feat, other) for feat, other in zip(feats[:4], others))
    dilated = [layer for layer in net.features if isinstance(layer, nn.Conv2d) and layer.dilation == (2, 2)]
    assert len(dilated) == {"16_bn": 3, "11": 2, "tiny": 1}[variant]
    assert VGG(variant, large_field=True, out_indices=(3, 4)).out_strides == (8, 8)


def test_large_field_sees_as_far_as_the_pooled_stage():
    """A dilated convolution at stride 8 reads the same pixels as an ordinary one at stride 16."""
    torch.manual_seed(0)
    net = VGG("tiny", large_field=True).eval()
    x = torch.randn(1, 3, 64, 96, requires_grad=True)
    net(x)[-1][0, :, 4, 6].sum().backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    shallow = torch.randn(1, 3, 64, 96, requires_grad=True)
    net(shallow)[-2][0, :, 4, 6].sum().backward()
    before = shallow.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert rows[0] <= before[0] - 8
    assert rows[-1] >= before[-1] + 8
    assert VGG("tiny", large_field=True).eval()(torch.zeros(1, 3, 8, 8))[-1].shape == (1, 32, 1, 1)
