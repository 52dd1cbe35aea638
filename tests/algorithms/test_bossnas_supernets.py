"""The three supernets: sizes, paths through them, and creation of ops on first use."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from bossnas_toys import NARROW, shuffle_norms
from torch import Tensor, nn

from visionzoo.algorithms.bossnas import HyTraSupernet, MBConvSupernet, NATSSupernet, convert_supernet
from visionzoo.algorithms.bossnas.hytra import DEPTHS, SearchAttention
from visionzoo.algorithms.bossnas.mbconv import BLOCKS
from visionzoo.algorithms.bossnas.supernet import Supernet
from visionzoo.backbones.bossnet import ResAtt, ResConv
from visionzoo.errors import CheckpointError, ConfigError, UnknownName

# One path per block; together the paths visit every scale.
DESCENT = [(5, 5, 4, 3), (3, 2, 1, 0), (0, 1, 1, 0), (1, 0, 0, 1)]


def images(batch: int = 2, side: int = 64) -> Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(2))


def count(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


# --------------------------------------------------------------------------- HyTra


def test_the_whole_supernet_has_the_authors_parameters() -> None:
    with torch.device("meta"):
        whole = HyTraSupernet().build_all()
    assert count(whole) == 854_265_344
    assert [round(count(block) / 1e6, 1) for block in whole.blocks] == [238.0, 232.1, 192.1, 192.1]


def test_only_the_ops_on_used_paths_exist() -> None:
    with torch.device("meta"):
        supernet = HyTraSupernet()
        assert count(supernet) == 64 * 3 * 49 + 2 * 64
        supernet.prepare(0, [(5, 5, 4, 3)], [])
        once = count(supernet)
        supernet.prepare(0, [(5, 5, 4, 3)], [])
    assert 0 < once == count(supernet) < 1e7
    assert [sorted(layer.ops) for layer in supernet.layers_of(0)] == [["5"], ["5"], ["4"], ["3"]]


def test_weights_do_not_depend_on_what_was_made_before() -> None:
    whole, used = HyTraSupernet(**NARROW).build_all(), HyTraSupernet(**NARROW)
    before = torch.random.get_rng_state()
    used.prepare(1, [DESCENT[1]], DESCENT[:1])
    used.prepare(0, [DESCENT[0]], [])
    assert torch.equal(before, torch.random.get_rng_state())
    own = used.state_dict()
    assert all(torch.equal(whole.state_dict()[name], value) for name, value in own.items())
    assert not torch.equal(own["stem.0.weight"], HyTraSupernet(**NARROW, seed=1).state_dict()["stem.0.weight"])


def test_lazy_and_whole_supernets_compute_the_same() -> None:
    whole, used = HyTraSupernet(**NARROW).build_all().eval(), HyTraSupernet(**NARROW).eval()
    ours, theirs = images(), images()
    for block, path in enumerate(DESCENT):
        ours = used.run_block(ours, block, path, DESCENT[:block])
        theirs = whole.run_block(theirs, block, path, DESCENT[:block])
        assert torch.equal(ours, theirs)
    assert ours.shape == (2, 256, 2, 2)


@pytest.mark.parametrize("block", [0, 1, 2, 3])
def test_every_candidate_runs_and_ends_at_its_scale(block: int) -> None:
    supernet = HyTraSupernet(**NARROW).eval()
    with torch.no_grad():
        x = supernet.prefix(images(), DESCENT[:block])
        for path in supernet.candidates(block, DESCENT[:block])[::3]:
            y = supernet.run_block(x, block, path, DESCENT[:block])
            scale = (0, 0, 1, 1, 2, 3)[path[-1]]
            assert y.shape == (2, 256 // 2**scale, 2 * 2**scale, 2 * 2**scale)
            assert y.isfinite().all()


def test_candidates_follow_from_the_path_before() -> None:
    supernet = HyTraSupernet(**NARROW)
    assert len(supernet.candidates(0, [])) == 51
    assert len(supernet.candidates(1, [(5, 4, 4, 4)])) == 99
    assert len(supernet.candidates(1, [(5, 4, 4, 3)])) == 80
    assert len(supernet.candidates(1, [(4, 3, 2, 0)])) == 16
    assert len(HyTraSupernet(**NARROW, restricted=False).candidates(0, [])) == 131


@pytest.mark.parametrize(("before", "starts"), [([(5, 5, 5, 5)], {4}), ([(5, 5, 4, 4), (4, 4, 4, 4)], {2, 3})])
def test_a_path_that_ends_too_fine_is_entered_one_scale_below(before: list, starts: set[int]) -> None:
    supernet, block = HyTraSupernet(**NARROW).eval(), len(before)
    with pytest.warns(UserWarning, match=f"the path before block {block} ends at scale"):
        candidates = supernet.candidates(block, before)
    assert {path[0] for path in candidates} == starts
    with torch.no_grad():
        x = supernet.prefix(images(), before)
        for path in candidates[::5]:
            assert supernet.run_block(x, block, path, before).isfinite().all()
    again = HyTraSupernet(**NARROW).eval()
    again.load_state_dict(supernet.state_dict())
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(again.run_block(x, block, path, before), supernet.run_block(x, block, path, before))


def test_a_finished_block_keeps_its_path() -> None:
    supernet = HyTraSupernet(**NARROW)
    supernet.prepare(0, [DESCENT[0], (4, 4, 4, 4)], [])
    before = supernet.eval().run_block(images(), 0, DESCENT[0], [])
    supernet.keep_path(0, DESCENT[0])
    assert [sorted(layer.ops) for layer in supernet.layers_of(0)] == [["5"], ["5"], ["4"], ["3"]]
    assert sorted(supernet.layers_of(0)[0].resizers) == ["3"]
    assert torch.equal(before, supernet.run_block(images(), 0, DESCENT[0], []))


def test_state_makes_exactly_the_ops_that_it_holds() -> None:
    one, other = HyTraSupernet(**NARROW), HyTraSupernet(**NARROW)
    one.prepare(0, [DESCENT[0]], [])
    other.prepare(0, [(4, 4, 4, 4)], [])
    shuffle_norms(one)
    other.load_state_dict(one.state_dict())
    assert list(other.state_dict()) == list(one.state_dict())
    assert all(torch.equal(x, other.state_dict()[name]) for name, x in one.state_dict().items())


def test_a_copy_has_separate_ops() -> None:
    one = HyTraSupernet(**NARROW)
    other = copy.deepcopy(one)
    other.prepare(0, [DESCENT[0]], [])
    assert not any(len(layer.ops) for layer in one.layers_of(0))


def test_ops_are_the_networks_blocks() -> None:
    """At its own scale and stride 1 a search op computes what BossNet's block computes."""
    supernet = HyTraSupernet(**NARROW, transposed_attention=False).build_all().eval()
    shuffle_norms(supernet)
    conv, attention = supernet.layers_of(1)[1].op(3), supernet.layers_of(1)[1].op(2)
    x = torch.randn(2, 128, 4, 4)
    for op, block in ((conv, ResConv(128, 32)), (attention, ResAtt(128, 32, heads=4, head_dim=8))):
        state = {name: value for name, value in op.state_dict().items() if "_d." not in name}
        block.load_state_dict(state)
        torch.testing.assert_close(op(x), block.eval()(x))


def test_the_search_codes_attention_is_the_default() -> None:
    supernet = HyTraSupernet(**NARROW).build_all()
    attention = [m for m in supernet.modules() if isinstance(m, SearchAttention)]
    assert len(attention) == 4 * sum(min(depth, 2) for depth in DEPTHS)
    assert all(op.net[1].transposed for op in attention)


def test_ops_start_as_their_shortcuts() -> None:
    op = HyTraSupernet(**NARROW).layers_of(0)[1].op(2)
    assert not op.net[-1].weight.any()


def test_paths_of_other_blocks_are_refused() -> None:
    supernet = HyTraSupernet(**NARROW)
    for block, path in ((1, (5, 4, 3, 3)), (0, (5, 4, 3)), (2, (4, 3, 2, 2))):
        with pytest.raises(ConfigError, match=f"scales of block {block}, found"):
            supernet.prepare(block, [path], DESCENT[:block])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"image_size": 100}, "multiple of 32 pixels, found 100"), ({"width": 8, "head_dim": 64}, "heads of 64 channels")],
)
def test_mistakes_in_hytra_are_named(options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HyTraSupernet(**options)


def test_strange_weights_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"expected a HyTra supernet .* found layer1\.0"):
        convert_supernet({"layer1.0.conv1.weight": torch.zeros(1)})


# --------------------------------------------------------------------------- MBConv


def walk(supernet: Supernet, x: Tensor, best: list[tuple[int, ...]]) -> list[Tensor]:
    maps = []
    for block, path in enumerate(best):
        x = supernet.run_block(x, block, path, best[:block])
        maps.append(x)
    return maps


def test_mbconv_has_the_papers_maps() -> None:
    supernet = MBConvSupernet().eval()
    best = [(0, 1), (2, 3, 0, 1), (1, 1, 1, 1), (3, 3, 3, 3), (0, 0, 0, 0)]
    with torch.no_grad():
        maps = walk(supernet, images(2, 75), best)
        assert supernet.fixed_block(maps[-1]).shape == (2, 320, 3, 3)
    assert [tuple(x.shape[1:]) for x in maps] == [
        (24, 19, 19), (40, 10, 10), (80, 5, 5), (112, 5, 5), (192, 3, 3),
    ]  # fmt: skip
    assert [len(supernet.candidates(block, [])) for block in range(5)] == [16, 256, 256, 256, 256]
    assert [supernet.projected(block) for block in range(5)] == [(block[0], {}) for block in BLOCKS]


def test_mbconv_candidates_share_their_shortcut() -> None:
    supernet = MBConvSupernet().eval()
    layer = supernet.layers_of(1)[0]
    x = torch.randn(2, 24, 9, 7)
    pooled = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
    short = layer.downsample[2](layer.downsample[1](pooled))
    for op in range(4):
        torch.testing.assert_close(layer(x, op) - short, layer.ops.ask(op)(x), rtol=1e-4, atol=1e-5)
    assert not list(supernet.layers_of(1)[1].downsample)
    expand = [layer.ops.ask(op).expand[0].out_channels for op in range(4)]
    kernels = [layer.ops.ask(op).depthwise[0].kernel_size[0] for op in range(4)]
    assert (expand, kernels) == ([144, 144, 72, 72], [3, 5, 3, 5])


def test_mbconv_samples_fairly_and_keeps_a_path() -> None:
    supernet = MBConvSupernet()
    paths = supernet.sample(1, [(0, 0)], 9, torch.Generator().manual_seed(0))
    assert all(sorted(ops) == [0, 1, 2, 3] for ops in zip(*paths))
    supernet.prepare(1, paths, [(0, 0)])
    supernet.keep_path(1, paths[0])
    assert [sorted(layer.ops) for layer in supernet.layers_of(1)] == [[str(op)] for op in paths[0]]
    with pytest.raises(ConfigError, match="expected a path of 4 ops from 0 to 3 for block 1"):
        supernet.prepare(1, [(0, 0)], [])
    with pytest.raises(ConfigError, match="at least 32 pixels"):
        MBConvSupernet(image_size=16)


# --------------------------------------------------------------------------- NATS-Bench


@pytest.mark.parametrize(
    ("target", "best", "shapes"),
    [
        ("cifar10", [(0, 7), (3, 4), (1,)], [(64, 16, 16), (40, 8, 8), (16, 8, 8)]),
        ("cifar100", [(7, 0), (2,), (5, 6)], [(8, 16, 16), (24, 16, 16), (56, 8, 8)]),
    ],
)
def test_nats_has_the_papers_maps(target: str, best: list, shapes: list[tuple[int, ...]]) -> None:
    supernet = NATSSupernet(target).eval()
    with torch.no_grad():
        assert [tuple(x.shape[1:]) for x in walk(supernet, images(2, 32), best)] == shapes
    assert [len(supernet.candidates(block, [])) for block in range(3)] == [8 ** len(path) for path in best]


def test_narrow_widths_are_the_first_channels_of_wide_ones() -> None:
    supernet = NATSSupernet()
    cell, x = supernet.layers_of(0)[0].eval(), torch.randn(2, 16, 6, 6)
    narrow, wide = cell.conv01(x, 8), cell.conv01(x, 64)
    torch.testing.assert_close(narrow, wide[:, :8])
    weight = cell.conv01.conv.weight[:8, :16]
    expected = cell.conv01.norm(F.conv2d(x.relu(), weight, padding=1))
    torch.testing.assert_close(narrow, expected)


def test_a_nats_cell_is_its_formula() -> None:
    cell, x = NATSSupernet().layers_of(0)[0].eval(), torch.randn(2, 16, 6, 6)
    for width, skipped in ((16, x), (24, cell.skip(x, 24))):
        first = cell.conv01(x, width)
        second = cell.conv02(x, width) + cell.conv12(first, width)
        torch.testing.assert_close(cell(x, width), skipped + cell.conv13(first, width) + cell.conv23(second, width))


def test_a_nats_reduction_is_its_formula() -> None:
    block, x = NATSSupernet().layers_of(0)[1].eval(), torch.randn(2, 16, 6, 6)
    short = F.conv2d(F.avg_pool2d(x, 2), block.shortcut.weight[:24, :16])
    torch.testing.assert_close(block(x, 24), short + block.conv_b(block.conv_a(x, 24), 24))
    assert block(x, 24).shape == (2, 24, 3, 3)


def test_mistakes_in_nats_are_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'cifar10'"):
        NATSSupernet("cifar1")
    with pytest.raises(ConfigError, match="expected a path of 2 widths from 0 to 7 for block 0"):
        NATSSupernet().run_block(images(2, 32), 0, (8, 0), [])
