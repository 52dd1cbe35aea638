"""NASNet-A: counts, geometry, formulas of the cells, drop path, both parts of the detector, and learning."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from nasnet_formulas import Formulas
from torch import Tensor, nn

from visionzoo.backbones.nasnet import NASNet, NASNetAuxBranch, NASNetRoITail, l2_penalty
from visionzoo.errors import ConfigError, InputError, UnknownName
from visionzoo.layers.drop_path import ScheduledDropPath
from visionzoo.models.fast_form import FastForm
from visionzoo.registry import MODELS, SCOPE

SMALL: dict[str, dict[str, Any]] = {
    "tiny": {},
    "two_per_group": {"num_cells": 6, "stem_filters": 12},
    "skipping": {"num_cells": 6, "skip_reduction_layer_input": True},
    "cifar": {"variant": "cifar", "num_cells": 6, "filters": 8, "stem_filters": 24},
}


def small(name: str = "tiny", **options: Any) -> NASNet:
    """Return a narrow network whose norms and weights keep values near 1; every weight affects the output."""
    torch.manual_seed(0)
    net = NASNet(**{"variant": "tiny", **SMALL[name], **options})
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.3, 0.9)
                module.bias.normal_(0, 0.2)
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def images(count: int = 2, height: int = 75, width: int = 101) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(count, 3, height, width)


def formulas(net: NASNet) -> Formulas:
    design = net.design
    state = net.state_dict(keep_vars=True)
    return Formulas(state, design.num_cells, design.norm_eps, design.skip_reduction_layer_input)


def on_meta(*args: Any, **options: Any) -> NASNet:
    with torch.device("meta"):
        return NASNet(*args, **options)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# --------------------------------------------------------------------------- counts and geometry


@pytest.mark.parametrize(
    ("variant", "classes", "expected"),
    [
        ("large", 1000, 88_753_150),
        ("large", 1001, 88_757_183),
        ("mobile", 1000, 5_289_978),
        ("cifar", 10, 3_346_538),
    ],
)
def test_parameters_are_the_authors(variant: str, classes: int, expected: int) -> None:
    net = on_meta(variant)
    assert count(net) + classes * (net.out_channels[-1] + 1) == expected


def test_parameters_of_the_auxiliary_branch_are_the_authors() -> None:
    net = on_meta("cifar")
    with torch.device("meta"):
        branch = NASNetAuxBranch(net.out_channels[1], 10, size=4)
    assert count(net) + 10 * 769 + count(branch) == 4_978_036


def multiply_adds(net: NASNet, size: int, classes: int) -> int:
    """Count the multiply-adds of all convolutions and a classifier."""
    counts = [net.out_channels[-1] * classes]
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, _, out: counts.append(out.numel() * module.weight[0].numel()))
    net.eval()(torch.zeros(1, 3, size, size, device="meta"))
    return sum(counts)


@pytest.mark.parametrize(("variant", "size", "expected"), [("large", 331, 23.78e9), ("mobile", 224, 0.5636e9)])
def test_multiply_adds_are_the_authors(variant: str, size: int, expected: float) -> None:
    assert multiply_adds(on_meta(variant), size, 1000) == pytest.approx(expected, rel=3e-4)


LEVELS = {"large": (96, 168, 1008, 2016, 4032), "mobile": (32, 44, 264, 528, 1056)}


@pytest.mark.parametrize("variant", LEVELS)
@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((1344, 800), [(671, 399), (336, 200), (168, 100), (84, 50), (42, 25)]),
        ((97, 131), [(48, 65), (24, 33), (12, 17), (6, 9), (3, 5)]),
    ],
)
def test_dense_maps(variant: str, size: tuple[int, int], sizes: list[tuple[int, int]]) -> None:
    net = on_meta(variant, out_indices=range(5)).eval()
    assert net.out_channels == LEVELS[variant]
    assert net.out_strides == (2, 4, 8, 16, 32)
    feats = net(torch.zeros(1, 3, *size, device="meta"))
    assert [tuple(feat.shape) for feat in feats] == [(1, c, *s) for c, s in zip(LEVELS[variant], sizes, strict=True)]


@pytest.mark.parametrize(
    ("variant", "size", "sizes"),
    [("large", 331, (83, 42, 21, 11)), ("mobile", 224, (56, 28, 14, 7)), ("cifar", 32, (32, 16, 8))],
)
def test_maps_of_the_authors_sizes(variant: str, size: int, sizes: tuple[int, ...]) -> None:
    feats = on_meta(variant).eval()(torch.zeros(1, 3, size, size, device="meta"))
    assert tuple(feat.shape[-1] for feat in feats) == sizes


def test_cifar_maps() -> None:
    net = on_meta("cifar")
    assert net.out_channels == (192, 384, 768)
    assert net.out_strides == (1, 2, 4)


def test_chosen_maps_are_the_same_maps_and_later_cells_do_not_run() -> None:
    net, x = small("two_per_group"), images()
    every = small("two_per_group", out_indices=range(5))
    some = small("two_per_group", out_indices=(0, 2))
    some.cell_2.register_forward_hook(lambda *_: pytest.fail("a cell ran that no part reads"))
    with torch.no_grad():
        default, maps, chosen = net(x), every(x), some(x)
    assert (some.out_channels, some.out_strides) == ((12, 48), (2, 8))
    for one, other in zip([*default, *chosen], [*maps[1:], maps[0], maps[2]], strict=True):
        assert torch.equal(one, other)


# --------------------------------------------------------------------------- cells, operation by operation


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (72, 101), (2, 67)])
def test_every_map_is_its_formula(name: str, size: tuple[int, int]) -> None:
    if size[0] == 2 and name != "cifar":
        size = (3, 67)  # the first convolution of the others has no padding
    levels = range(3) if name == "cifar" else range(5)
    net, raw = small(name), small(name, raw=True, out_indices=levels)
    x = images(2, *size)
    with torch.no_grad():
        expected = formulas(net)(x)
        outputs, before = net(x), raw(x)
    thirds = net.design.num_cells // 3
    names = [f"cell_{thirds * i - 1}" for i in (1, 2, 3)]
    names = names if name == "cifar" else ["conv0", "cell_stem_0", *names]
    for tap, one in zip(names, before, strict=True):
        torch.testing.assert_close(one, expected[tap], rtol=1e-4, atol=1e-4)
    for one, other in zip(outputs, before[-len(outputs) :], strict=True):
        torch.testing.assert_close(one, other.relu(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_those_of_the_formulas(name: str) -> None:
    net, x = small(name), images(2, 37, 50)
    ours = torch.autograd.grad(net(x)[-1].square().mean(), list(net.parameters()))
    last = f"cell_{net.design.num_cells - 1}"
    theirs = torch.autograd.grad(formulas(net)(x)[last].relu().square().mean(), list(net.parameters()))
    for (key, _), one, other in zip(net.named_parameters(), ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * float(other.abs().max()) + 1e-9, msg=key)


@pytest.mark.parametrize("name", SMALL)
def test_folded_norms_change_nothing(name: str) -> None:
    net, x = small(name), images()
    form = FastForm(net, channels_last=True)
    assert form.about()["folded_norms"] == sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    with torch.no_grad():
        with form.applied():
            folded = net(x)
        for one, other in zip(folded, net(x), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_batch_of_two_is_two_batches_of_one() -> None:
    net, x = small("skipping"), images()
    with torch.no_grad():
        together, single = net(x), [net(x[:1]), net(x[1:])]
    for level, feat in enumerate(together):
        torch.testing.assert_close(feat, torch.cat([single[0][level], single[1][level]]), rtol=1e-4, atol=1e-5)


def test_bfloat16_is_the_same_up_to_its_rounding() -> None:
    net, x = small(), images()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        outputs = net(x)
    with torch.no_grad():
        for one, other in zip(outputs, net(x), strict=True):
            assert float((one.float() - other).norm() / other.norm()) < 0.05


# --------------------------------------------------------------------------- training


def test_recomputed_cells_have_the_same_gradients_even_with_drop_path() -> None:
    def gradients(with_cp: bool) -> list[Tensor]:
        net = small("two_per_group", with_cp=with_cp, drop_path_keep_prob=0.5).train()
        net.set_training_progress(10, 10)
        torch.manual_seed(2)
        return list(torch.autograd.grad(net(images())[-1].square().mean(), list(net.parameters())))

    for one, other in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(one, other)


def test_branches_are_dropped_more_often_later_and_deeper() -> None:
    net = small("two_per_group", drop_path_keep_prob=0.5)
    drops = [getattr(net, planned.name).drop_path for planned in net.plan]
    assert len(drops) == 10  # two stem cells, six normal cells, two reductions
    net.set_training_progress(5, 10)
    assert [drop.current_keep_prob for drop in drops] == pytest.approx([1 - 0.25 * (i + 1) / 10 for i in range(10)])
    net.drop_path_steps = 20
    net.set_training_progress(5, 10)
    assert drops[-1].current_keep_prob == pytest.approx(1 - 0.5 * 5 / 20)


@pytest.mark.parametrize("name", ["two_per_group", "cifar"])
def test_at_step_zero_nothing_is_dropped(name: str) -> None:
    dropping = small(name, drop_path_keep_prob=0.5, norm_eval=True).train()
    keeping = small(name, drop_path_keep_prob=1.0)
    x = images(4, 40, 49)
    with torch.no_grad():
        expected = keeping(x)
        for step, is_equal in ((0, True), (10, False)):
            dropping.set_training_progress(step, 10)
            assert all(torch.equal(*pair) for pair in zip(dropping(x), expected, strict=True)) is is_equal
        assert all(torch.equal(*pair) for pair in zip(dropping.eval()(x), expected, strict=True))


@pytest.mark.parametrize(
    ("name", "branches"),
    # 8 branches of a normal cell (all except the identities of nodes 2 and 4), 9 of a reduction (all except node 3's).
    [("tiny", 3 * 8 + 4 * 9), ("cifar", 6 * 8 + 2 * 9)],
)
def test_every_branch_except_identities_draws_its_own_mask(
    name: str, branches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Tensor] = []
    original = ScheduledDropPath.forward
    monkeypatch.setattr(ScheduledDropPath, "forward", lambda self, x: calls.append(x) or original(self, x))
    net = small(name, drop_path_keep_prob=0.5).train()
    net.set_training_progress(10, 10)
    with torch.no_grad():
        net(images(2, 33, 40))
    assert len(calls) == branches


def test_freezes_the_stem_and_levels() -> None:
    def trained(**options: Any) -> set[str]:
        net = NASNet(**{"variant": "tiny", **options}).train()
        parts = {name.split(".")[0] for name, value in net.named_parameters() if value.requires_grad}
        norms = {name: part for name, part in net.named_modules() if isinstance(part, nn.BatchNorm2d)}
        training = {name.split(".")[0] for name, norm in norms.items() if norm.training}
        assert parts == training
        return parts

    later = {"reduction_cell_0", "cell_1", "reduction_cell_1", "cell_2"}
    every = {"conv0", "cell_stem_0", "cell_stem_1", "cell_0"} | later
    frozen: list[set[str]] = [set(), {"conv0"}, {"cell_stem_0"}, {"cell_stem_1", "cell_0"}]
    frozen += [{"reduction_cell_0", "cell_1"}, {"reduction_cell_1", "cell_2"}]
    for stages, more in enumerate(frozen, start=-1):
        every -= more
        assert trained(frozen_stages=stages) == every
    assert not every
    assert trained(variant="cifar", num_cells=3, frozen_stages=1) == later


def test_norms_can_stay_in_evaluation_mode() -> None:
    net = NASNet("tiny", norm_eval=True).train()
    assert not any(module.training for module in net.modules() if isinstance(module, nn.BatchNorm2d))
    assert net.cell_0.drop_path.training
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_starts_by_fan_out() -> None:
    torch.manual_seed(0)
    net = NASNet("tiny", filters=64)
    for conv in (net.cell_2.cur.conv, net.cell_1.node_0_left.depthwise_1, net.cell_2.prev.path_1):
        fan_out = conv.out_channels * conv.kernel_size[0] ** 2 // conv.groups
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
        assert conv.weight.abs().max() <= 2 * math.sqrt(1.3 * 2 / fan_out)


def test_l2_includes_only_convolutions_and_linear_weights() -> None:
    part = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 5))
    expected = 0.01 / 2 * (part[0].weight.square().sum() + part[3].weight.square().sum())
    assert torch.equal(l2_penalty(part, 0.01), expected)
    assert l2_penalty(nn.BatchNorm2d(3), 0.01) == 0


@pytest.mark.slow
def test_learns_four_classes() -> None:
    """64 images of 32 pixels have noisy stripes of four directions; the network has 6 cells of 8 filters."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 4
    grid, phase = torch.arange(32.0), torch.rand(64, 1, 1) * 6.28
    waves = [grid[:, None] / 2 + 0 * grid, grid[None] / 2 + 0 * grid[:, None]]
    waves += [(grid[:, None] + grid) / 3, (grid[:, None] - grid) / 3]
    images = torch.stack([torch.sin(waves[int(label)] + shift) for label, shift in zip(labels, phase)])
    images = images[:, None] + 0.5 * torch.randn(64, 3, 32, 32)
    net, head = NASNet("cifar", num_cells=6, filters=8, stem_filters=24).train(), nn.Linear(192, 4)
    optimizer = torch.optim.SGD([*net.parameters(), *head.parameters()], lr=0.025, momentum=0.9, nesterov=True)
    for epoch in range(12):
        net.set_training_progress(epoch, 120)
        for rows in torch.randperm(64).split(16):
            loss = F.cross_entropy(head(net(images[rows])[-1].mean((2, 3))), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        correct = head(net.eval()(images)[-1].mean((2, 3))).argmax(1) == labels
    assert correct.float().mean() > 0.95


# --------------------------------------------------------------------------- both parts of the detector


@pytest.mark.parametrize("name", ["tiny", "two_per_group", "skipping"])
@pytest.mark.parametrize("size", [(64, 96), (75, 101)])
def test_the_detectors_parts_are_the_whole_network(name: str, size: tuple[int, int]) -> None:
    whole = small(name)
    options = {"variant": "tiny", **SMALL[name]}
    first = NASNet(**options, proposal_features=True).eval()
    tail = NASNetRoITail(**options).eval()
    state = whole.state_dict()
    assert not set(first.state_dict()) & set(tail.state_dict())
    assert set(first.state_dict()) | set(tail.state_dict()) == set(state)
    for part in (first, tail):
        part.load_state_dict({key: state[key] for key in part.state_dict()})
    x = images(2, *size)
    with torch.no_grad():
        (feats,) = first(x)
        torch.testing.assert_close(tail(feats), whole(x)[-1], rtol=1e-4, atol=1e-5)
        states = formulas(whole)(x)
    last_two = [*states][: [*states].index("reduction_cell_1")][-2:]
    torch.testing.assert_close(feats, torch.cat([states[key] for key in last_two], 1), rtol=1e-4, atol=1e-4)
    assert (first.out_channels, first.out_strides) == ((tail.in_channels,), (16,))
    assert tail.out_channels == whole.out_channels[-1]


def test_the_authors_detector_reads_4032_channels_and_17_pixels() -> None:
    net = on_meta("large", proposal_features=True).eval()
    with torch.device("meta"):
        tail = NASNetRoITail("large").eval()
    assert (net.out_channels, net.out_strides) == ((4032,), (16,))
    (feats,) = net(torch.zeros(1, 3, 1200, 1200, device="meta"))
    assert feats.shape == (1, 4032, 75, 75)
    assert tail(torch.zeros(2, 4032, 17, 17, device="meta")).shape == (2, 4032, 9, 9)
    assert count(net) + count(tail) == count(on_meta("large"))


def test_the_tail_takes_no_proposals_and_refuses_other_crops() -> None:
    tail = NASNetRoITail("tiny").eval()
    assert tail(torch.zeros(0, tail.in_channels, 17, 17)).shape == (0, tail.out_channels, 9, 9)
    with pytest.raises(InputError, match=r"expected crops of \d+ channels, found 8; give it the map of a NASNet"):
        tail(torch.zeros(1, 8, 17, 17))


# --------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"variant": "mobil"}, UnknownName, "did you mean 'mobile'"),
        ({"stem": "imagenett"}, UnknownName, "did you mean 'imagenet'"),
        ({"filters": 42}, ConfigError, "filters: expected a whole number of at least 4 and divisible by 4, found 42"),
        ({"filters": True}, ConfigError, "filters: expected a whole number"),
        ({"num_cells": 2}, ConfigError, "num_cells: expected a whole number of at least 3, found 2"),
        ({"stem_filters": 0}, ConfigError, "stem_filters: expected a whole number from 1"),
        ({"drop_path_keep_prob": 0}, ConfigError, "drop_path_keep_prob: expected a number above 0"),
        ({"out_indices": (1, 5)}, ConfigError, r"out_indices: expected levels from 0 to 4, .*found \[1, 5\]"),
        ({"out_indices": (3, 1)}, ConfigError, "out_indices: expected levels from 0 to 4, shallow first"),
        ({"out_indices": ()}, ConfigError, "out_indices: expected a"),
        ({"variant": "cifar", "out_indices": (3,)}, ConfigError, "out_indices: expected levels from 0 to 2"),
        ({"out_indices": (3,), "proposal_features": True}, ConfigError, "expected none together with"),
        ({"frozen_stages": 6}, ConfigError, r"frozen_stages: expected -1 \(none\) to 4"),
        ({"variant": "cifar", "frozen_stages": 4}, ConfigError, r"frozen_stages: expected -1 \(none\) to 3"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        NASNet(**{"variant": "tiny", **options})


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("variant", ["tiny", "cifar"])
def test_images_of_other_channels_are_refused(variant: str, channels: int) -> None:
    with pytest.raises(RuntimeError, match=f"to have 3 channels, but got {channels}"):
        NASNet(variant)(torch.zeros(1, channels, 64, 64))


@pytest.mark.parametrize(("size", "pooled"), [(17, 5), (20, 6), (16, 4), (14, 4)])
def test_the_auxiliary_branch_belongs_to_one_size(size: int, pooled: int) -> None:
    x = torch.randn(2, 24, size, size)
    assert NASNetAuxBranch(24, 7, pooled)(x).shape == (2, 7)
    for wrong in (pooled - 1, pooled + 1):
        with pytest.raises(InputError, match=rf"for size={wrong}, found {size}x{size}"):
            NASNetAuxBranch(24, 7, wrong)(x)
    with pytest.raises(InputError, match=rf"found {size}x{size + 3}"):
        NASNetAuxBranch(24, 7, pooled)(F.pad(x, (0, 3)))


def test_parts_are_built_by_name() -> None:
    with DefaultScope.overwrite_default_scope(SCOPE):
        built = [MODELS.build({"type": kind, "variant": "tiny"}) for kind in ("NASNet", "NASNetRoITail")]
    assert [type(part) for part in built] == [NASNet, NASNetRoITail]
