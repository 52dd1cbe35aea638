"""BossNet: counts, geometry, block formulas, the authors' weights, and learning."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from visionzoo.backbones.bossnet import (
    Attention,
    BossNet,
    ResAtt,
    ResConv,
    convert,
    convert_classifier,
    named_variant,
)
from visionzoo.errors import CheckpointError, ConfigError, UnknownName
from visionzoo.models.fast_form import FastForm
from visionzoo.registry import MODELS, SCOPE

CLASSES = 1000
CLASSIFIER = 2048 * CLASSES + CLASSES

# Comparisons from the rows of the paper's tables.
OTHERS: dict[str, Any] = {
    "r50": [[1] * 3, [1] * 4, [1] * 6, [1] * 3],
    "bot": [[1] * 3, [1] * 4, [1] * 6, [0] * 3],
    "dna": [[1], [1, 1, 1], [1, 0, 1, 1, 1, 1, 0, 1], [0, 1, 1, 1]],
    "vit": [[], [], [0] * 16, []],
    "vit_32": [[], [], [], [0] * 16],
    "random": [[], [], [0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0], [0, 1, 0, 1, 1]],
    "unnas": [[], [1], [1, 1], [1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0]],
}


def multiply_adds(net: BossNet, size: int) -> float:
    """Count the multiply-adds of convolutions, both attention products and a classifier of 1000 classes, in 1e9."""
    counts = [2048 * CLASSES]

    def count(module: nn.Module, _: Any, out: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            counts.append(out.numel() * module.weight[0].numel())
        elif isinstance(module, Attention):
            counts.append(2 * out[0, 0].numel() ** 2 * out.shape[1])

    for module in net.modules():
        module.register_forward_hook(count)
    net.eval()(torch.zeros(1, 3, size, size, device="meta"))
    return sum(counts) / 1e9


def tiny(**options: Any) -> BossNet:
    """Return the small variant with random weights, so that every block changes its input."""
    torch.manual_seed(0)
    net = BossNet("tiny", **options)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def images(batch: int = 2, height: int = 75, width: int = 101) -> Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


# --------------------------------------------------------------------------- size


@pytest.mark.parametrize(("variant", "parameters"), [("T0_nose", 37_319_080), ("T0", 38_415_960), ("T1", 38_415_960)])
def test_parameters_are_the_authors(variant: str, parameters: int) -> None:
    with torch.device("meta"):
        net = BossNet(variant)
    assert sum(value.numel() for value in net.parameters()) + CLASSIFIER == parameters


@pytest.mark.parametrize(
    ("variant", "size", "expected"),
    [("T0_nose", 224, 3.442), ("T0", 224, 3.443), ("T0", 288, 5.732), ("T1", 224, 7.944), ("T1", 256, 10.509)],
)
def test_multiply_adds_of_the_variants(variant: str, size: int, expected: float) -> None:
    with torch.device("meta"):
        assert multiply_adds(BossNet(variant), size) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("r50", 4.104),
        ("bot", 3.880),
        ("dna", 3.912),
        ("vit", 1.394),
        ("vit_32", 1.484),
        ("random", 1.369),
        ("unnas", 1.276),
    ],
)
def test_multiply_adds_of_other_encodings(name: str, expected: float) -> None:
    with torch.device("meta"):
        assert multiply_adds(BossNet(encoding=OTHERS[name]), 224) == pytest.approx(expected, rel=1e-3)


# --------------------------------------------------------------------------- geometry


@pytest.mark.parametrize(
    ("options", "strides"),
    [
        ({}, (4, 8, 16, 32)),
        ({"last_stride": 1}, (4, 8, 16, 16)),
        ({"output_stride": 16}, (4, 8, 16, 16)),
        ({"output_stride": 8}, (4, 8, 8, 8)),
        ({"encoding": OTHERS["vit"]}, (8, 16, 32, 64)),
        ({"encoding": [[1], [0], [1], []], "last_stride": 1}, (4, 8, 16, 32)),
        ({"encoding": [[0, 1], [1, 0], [0, 0], [1]], "avg_down": False, "act": "relu", "se": False}, (4, 8, 16, 32)),
    ],
)
def test_has_the_strides_that_it_declares(options: dict[str, Any], strides: tuple[int, ...]) -> None:
    net = tiny(**options)
    assert net.out_strides == strides
    assert net.out_channels == (32, 64, 128, 256)
    with torch.no_grad():
        feats = net(images())
    for feat, channels, stride in zip(feats, net.out_channels, strides, strict=True):
        assert feat.shape == (2, channels, math.ceil(75 / stride), math.ceil(101 / stride))
        assert feat.isfinite().all()


def test_variants_have_the_papers_widths_and_strides() -> None:
    with torch.device("meta"):
        nets = {name: BossNet(name) for name in ("T0", "T0_nose", "T1")}
    assert {net.out_channels for net in nets.values()} == {(256, 512, 1024, 2048)}
    assert [net.out_strides[-1] for net in nets.values()] == [32, 32, 16]


def test_a_single_chosen_stage_is_the_same_map() -> None:
    with torch.no_grad():
        last, every = tiny(out_indices=(1, 3))(images()), tiny()(images())
    assert tiny(out_indices=(1, 3)).out_strides == (8, 32)
    for one, other in zip(last, (every[1], every[3]), strict=True):
        assert torch.equal(one, other)


def test_dilation_begins_after_the_first_block_of_a_stage() -> None:
    net = BossNet("tiny", encoding=[[1], [1], [1, 1], [1, 0, 1]], output_stride=8)
    spread = [m.conv2.dilation[0] for stage in (net.layer3, net.layer4) for m in stage if isinstance(m, ResConv)]
    assert spread == [1, 2, 2, 4]


def test_dilation_changes_neither_weights_nor_earlier_stages() -> None:
    net, dense = tiny(encoding=[[1], [1], [1], [1]]), tiny(encoding=[[1], [1], [1], [1]], output_stride=16)
    dense.load_state_dict(net.state_dict())
    with torch.no_grad():
        ours, theirs = net(images()), dense(images())
    assert all(torch.equal(one, other) for one, other in zip(ours[:3], theirs[:3], strict=True))
    assert theirs[3].shape[-2:] == theirs[2].shape[-2:]


def test_t0_and_t1_agree_up_to_stage_three() -> None:
    torch.manual_seed(0)
    short, dense = BossNet("T0").eval(), BossNet("T1").eval()
    dense.load_state_dict(short.state_dict())
    with torch.no_grad():
        ours, theirs = short(images(1, 224, 224)), dense(images(1, 224, 224))
    for one, other in zip(ours[:3], theirs[:3], strict=True):
        assert torch.equal(one, other)
    assert ours[3].shape[-2:] == (7, 7)
    assert theirs[3].shape[-2:] == (14, 14)


# --------------------------------------------------------------------------- the blocks, formula by formula


def norm(x: Tensor, bn: nn.Module) -> Tensor:
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias)


def pooled(x: Tensor) -> Tensor:
    """Return means of 2x2 pixels, or of fewer at an odd border."""
    ones = F.avg_pool2d(F.pad(torch.ones_like(x), (0, x.shape[3] % 2, 0, x.shape[2] % 2)), 2)
    return F.avg_pool2d(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)), 2) / ones


def test_res_conv_is_its_formula() -> None:
    block = tiny(encoding=[[1], [1], [1], [0]]).layer2[0]
    assert isinstance(block, ResConv)
    x = torch.randn(2, 32, 13, 18)
    inner = F.conv2d(F.conv2d(x, block.conv1.weight), block.peg.conv.weight, block.peg.conv.bias, 2, 1, 1, 16)
    inner = F.silu(norm(inner, block.bn1))
    inner = F.silu(norm(F.conv2d(inner, block.conv2.weight, padding=1), block.bn2))
    inner = norm(F.conv2d(inner, block.conv3.weight), block.bn3)
    squeezed = F.relu(F.conv2d(inner.mean((2, 3), keepdim=True), block.se.fc1.weight, block.se.fc1.bias))
    inner = inner * torch.sigmoid(F.conv2d(squeezed, block.se.fc2.weight, block.se.fc2.bias))
    expected = F.silu(inner + norm(F.conv2d(pooled(x), block.downsample[1].weight), block.downsample[2]))
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("transposed", [False, True])
def test_attention_is_its_formula(transposed: bool) -> None:
    attention = Attention(24, 3, transposed=transposed)
    x = torch.randn(2, 24, 5, 7)
    q, k, v = attention.to_qkv(x).reshape(2, 3, 3, 8, 35).unbind(1)
    logits = torch.einsum("bhdi,bhdj->bhij", q, k) / math.sqrt(8)
    share = logits.exp() / logits.exp().sum(-1, keepdim=True)
    pattern = "bhij,bhdi->bhdj" if transposed else "bhij,bhdj->bhdi"
    expected = torch.einsum(pattern, share, v).reshape(2, 24, 5, 7)
    torch.testing.assert_close(attention(x), expected, rtol=1e-5, atol=1e-5)


def test_res_att_is_its_formula() -> None:
    block = tiny(act="relu", avg_down=False).layer2[0]
    assert isinstance(block, ResAtt)
    x = torch.randn(2, 32, 13, 18)
    inner = norm(block.proj[1].conv(block.proj[0](x)), block.proj[2])
    assert inner.shape[-2:] == (7, 9)
    inner = F.relu(norm(block.net[1](F.relu(inner)), block.net[2]))
    inner = norm(F.conv2d(inner, block.net[4].weight), block.net[5])
    short = F.relu(norm(F.conv2d(x, block.shortcut[0].weight, stride=2, padding=1), block.shortcut[1]))
    torch.testing.assert_close(block(x), F.relu(inner + short), rtol=1e-5, atol=1e-5)


def test_a_dilated_blocks_pooled_shortcut_keeps_the_size() -> None:
    block = ResConv(4, 2, avg_down=True, dilation=2).eval()
    x = torch.randn(2, 4, 5, 6)
    padded = F.pad(x, (0, 1, 0, 1))
    quads = padded[..., :-1, :-1] + padded[..., 1:, :-1] + padded[..., :-1, 1:] + padded[..., 1:, 1:]
    torch.testing.assert_close(block.downsample[0](x), quads / 4)
    assert block(x).shape == (2, 8, 5, 6)


def test_the_search_codes_attention_can_be_chosen() -> None:
    faithful = tiny(transposed_attention=True)
    faithful.load_state_dict(tiny().state_dict())
    with torch.no_grad():
        ours, theirs = tiny()(images()), faithful(images())
    assert torch.equal(ours[0], theirs[0])
    assert not torch.allclose(ours[1], theirs[1])


def test_memory_of_attention_is_not_quadratic() -> None:
    """The scores of all pairs would take 3 heads x 4200 x 4200 numbers."""
    attention, x = Attention(24, 3), torch.randn(1, 24, 50, 84)
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        attention(x)
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert 0 < largest < 4200 * 4200


def test_all_norms_but_those_after_attention_fold_into_convolutions() -> None:
    net = tiny()
    form, x = FastForm(net), images()
    attentions = sum(isinstance(module, Attention) for module in net.modules())
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    assert form.about() == {**form.about(), "folded_norms": norms - attentions, "channels_last": True}
    with torch.no_grad():
        with form.applied():
            folded = net(x)
        for one, other in zip(folded, net(x), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


# --------------------------------------------------------------------------- start and training


def test_starts_as_its_shortcuts() -> None:
    net = BossNet("tiny")
    blocks = [m for m in net.modules() if isinstance(m, (ResConv, ResAtt))]
    assert len(blocks) == 4
    assert all(not block.last_norm.weight.any() for block in blocks)
    others = [m for m in BossNet("tiny", zero_init_last_bn=False).modules() if isinstance(m, (ResConv, ResAtt))]
    assert all(block.last_norm.weight.eq(1).all() for block in others)


def test_convolutions_start_by_fan_out() -> None:
    net = BossNet("T0_nose", encoding=[[1], [0], [1], [1]])
    for conv in (net.conv1, net.layer4[0].peg.conv, net.layer2[0].net[1].to_qkv):
        fan_out = conv.out_channels * conv.kernel_size[0] ** 2
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)


def test_drop_path_grows_towards_the_sixteenth_block() -> None:
    net = BossNet("tiny", encoding=[[1, 0], [], [1], [1]], drop_path_rate=0.3)
    rates = {name: getattr(m.drop_path, "drop_prob", 0.0) for name, m in net.named_modules() if isinstance(m, ResConv)}
    assert rates == pytest.approx({"layer1.0": 0.0, "layer3.0": 0.3 * 2 / 15, "layer4.0": 0.3 * 3 / 15})


def test_a_dropped_path_leaves_the_shortcut() -> None:
    torch.manual_seed(0)
    block = ResConv(8, 2, drop_path=0.5).train()
    x = torch.rand(64, 8, 4, 4)
    is_dropped = (block(x) == x).flatten(1).all(1)
    assert 15 < is_dropped.sum() < 49
    assert not (block.eval()(x) == x).flatten(1).all(1).any()


def test_freezes_stem_and_stages() -> None:
    net = BossNet("tiny", frozen_stages=2).train()
    trained = {name.split(".")[0] for name, value in net.named_parameters() if value.requires_grad}
    assert trained == {"layer3", "layer4"}
    assert not net.bn1.training
    assert not net.layer2[0].proj[2].training
    assert net.layer3[0].bn1.training
    assert not any(
        m.training for m in BossNet("tiny", norm_eval=True).train().modules() if isinstance(m, nn.BatchNorm2d)
    )


def test_learns_four_classes() -> None:
    """64 images have coloured stripes of four directions and frequencies; the network is narrow."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 4
    phase = torch.rand(64, 1, 1) * 6.28
    grid = torch.arange(64.0)
    waves = [grid[:, None] / 3 + 0 * grid, grid[None] / 3 + 0 * grid[:, None]]
    waves += [(grid[:, None] + grid) / 6, (grid[:, None] - grid) / 6]
    images = torch.stack([torch.sin(waves[int(label)] + shift) for label, shift in zip(labels, phase)])
    images = images[:, None] + 0.5 * torch.randn(64, 3, 64, 64)
    net, head = BossNet("tiny", encoding=[[1], [0], [1], [0]]), nn.Linear(256, 4)
    optimizer = torch.optim.AdamW([*net.parameters(), *head.parameters()], lr=2e-3)
    for _ in range(15):
        for rows in torch.randperm(64).split(16):
            loss = F.cross_entropy(head(net(images[rows])[-1].mean((2, 3))), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        correct = head(net.eval()(images)[-1].mean((2, 3))).argmax(1) == labels
    assert correct.float().mean() > 0.95


def test_is_built_by_name_in_a_detector() -> None:
    with DefaultScope.overwrite_default_scope(SCOPE):
        assert isinstance(MODELS.build({"type": "BossNet", "variant": "tiny"}), BossNet)


# --------------------------------------------------------------------------- weights


def released(variant: str) -> dict[str, Any]:
    """Return a checkpoint in the authors' format: a narrow network of this variant's blocks, a classifier and more."""
    torch.manual_seed(0)
    state = BossNet(variant, width=8, head_dim=8).state_dict()
    state |= {"fc.weight": torch.randn(5, 256), "fc.bias": torch.randn(5)}
    return {"model": state, "model_ema": {name: value + 1 for name, value in state.items()}, "epoch": 309}


@pytest.mark.parametrize("variant", ["T0", "T0_nose", "T1"])
def test_released_weights_load_whole(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "released.pth"
    torch.save(released(variant), path)
    checkpoint = torch.load(path, weights_only=True)
    net = BossNet(variant, width=8, head_dim=8)
    net.load_state_dict(convert(checkpoint, variant=variant))
    assert set(convert_classifier(checkpoint)) == {"weight", "bias"}
    assert len(net.state_dict()) == {"T0": 378, "T1": 378, "T0_nose": 350}[variant]
    averaged = convert(checkpoint, variant=variant, use_ema=True)
    assert torch.equal(averaged["conv1.weight"], net.conv1.weight + 1)


def test_released_weights_of_t0_and_t1_need_a_name() -> None:
    with pytest.raises(CheckpointError, match="weights of T0 and T1 have the same names"):
        convert(released("T1"))
    assert convert(released("T1"), variant="T1")
    assert convert(released("T1"), file_name="/data/BossNet-T1-81_9.pth")
    assert convert(released("T0_nose"))
    with pytest.raises(CheckpointError, match=r"expected BossNet-T0, found a file called .*T1"):
        convert(released("T1"), variant="T0", file_name="BossNet-T1-81_9.pth")


def test_weights_of_t0_are_refused_by_t0_nose_and_the_reverse() -> None:
    with pytest.raises(CheckpointError, match=r"expected BossNet-T0_nose, without squeeze.*use variant T0 or T1"):
        convert(released("T0"), variant="T0_nose")
    with pytest.raises(CheckpointError, match=r"expected BossNet-T1, with squeeze.*use variant T0_nose"):
        convert(released("T0_nose"), file_name="BossNet-T1-81_9.pth")
    small = {"width": 8, "head_dim": 8}
    with pytest.raises(RuntimeError, match=r"without squeeze and excitation \(act='relu'\), found weights with it"):
        BossNet("T0_nose", **small).load_state_dict(BossNet("T0", **small).state_dict(), strict=False)
    with pytest.raises(RuntimeError, match="choose T0_nose"):
        BossNet("T0", **small).load_state_dict(BossNet("T0_nose", **small).state_dict(), strict=False)


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("BossNet-T0-nose-80_5.pth", "T0_nose"),
        ("BossNet-T0-80_8.pth", "T0"),
        ("a/BossNet-T1-81_9.pth", "T1"),
        ("bossnet_t1.pth", "T1"),
        ("BossNet-T12.pth", None),
        ("resnet50.pth", None),
    ],
)
def test_file_names_contain_the_variant(name: str, variant: str | None) -> None:
    assert named_variant(name) == variant


def test_strange_weights_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"found stages\.0\.weight"):
        convert({"conv1.weight": torch.zeros(1), "stages.0.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"found no conv1\.weight"):
        convert({"epoch": 3})
    with pytest.raises(CheckpointError, match="expected averaged weights"):
        convert({"model": released("T0")["model"]}, variant="T0", use_ema=True)
    with pytest.raises(CheckpointError, match=r"expected a classifier .* found none"):
        convert_classifier(BossNet("tiny").state_dict())


# --------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": [[1], [1], [1]]}, "expected four lists, one per stage, found 3"),
        ({"encoding": "1101"}, "expected four lists"),
        ({"encoding": [[1], [2], [1], [0]]}, "for stage 2, found 2"),
        ({"encoding": [[1], [1], [1], ["0"]]}, "for stage 4, found '0'"),
        ({"encoding": [[1], [1], [True], [0]]}, "for stage 3, found True"),
        ({"encoding": [1, 1, 1, 0]}, "for stage 1, found 1"),
        ({"last_stride": 4}, "last_stride: expected 1 or 2, found 4"),
        ({"output_stride": 4}, "output_stride: expected 8, 16 or 32, found 4"),
        ({"width": 0}, "width: expected a whole number from 1"),
        (
            {"drop_path_rate": 1.1, "encoding": [[1] * 16, [], [], []]},
            "drop_path_rate: expected a number of at least 0",
        ),
        ({"out_indices": (0, 4)}, "out_indices: expected stages from 0 to 3"),
        ({"out_indices": ()}, "out_indices: expected a list of 1 or more items"),
        ({"frozen_stages": 5}, "frozen_stages: expected -1"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BossNet("tiny", **options)


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'T0_nose'"):
        BossNet("T0_nos")
    with pytest.raises(UnknownName, match="did you mean 'silu'"):
        BossNet("tiny", act="selu")
