"""RCNet against its formulas, its published counts and initial state; shapes, precision, recording, conversion."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from mmengine.registry import DefaultScope
from rcnet_formulas import Formulas
from torch import Tensor

from visionzoo.errors import CheckpointError, ConfigError, UnknownName
from visionzoo.necks.rcnet import CSN, RCNet, RevFP, convert, convert_detector, shift_levels
from visionzoo.registry import MODELS

BN = {"type": "BN", "requires_grad": True}
GN = {"type": "GN", "num_groups": 32, "requires_grad": True}
WIDTHS = [16, 32, 64, 128]


@pytest.fixture(autouse=True)
def _same_numbers() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def make_neck(**options: Any) -> RCNet:
    """Return a narrow neck whose parts all differ from their initial state, so that each affects the output."""
    neck = RCNet(**{"in_channels": WIDTHS, "out_channels": 32, "num_outs": 5, "start_level": 1} | options)
    with torch.no_grad():
        for parameter in neck.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in neck.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return neck


def make_feats(height: int = 96, width: int = 72, *, batch: int = 2, floors: bool = False) -> list[Tensor]:
    """Return maps of an image of this size at strides 4 to 32, rounded up or (``floors``) down."""
    feats = []
    for i, channels in enumerate(WIDTHS):
        stride = 4 * 2**i
        size = (height // stride, width // stride) if floors else (-(-height // stride), -(-width // stride))
        feats.append(torch.randn(batch, channels, *size))
    return feats


def state_of(neck: RCNet) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in neck.state_dict().items()}


def assert_equal_maps(maps: Any, wanted: Any, tolerance: float = 1e-4) -> None:
    assert len(maps) == len(wanted)
    for a, b in zip(maps, wanted):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


# --------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    "options",
    [
        {"norm_cfg": BN},
        {"norm_cfg": GN},
        {"norm_cfg": None},
        {"norm_cfg": BN, "out_conv_cfg": None},
        {"norm_cfg": None, "out_conv_cfg": {"type": "Conv2d"}},
        {"norm_cfg": GN, "out_conv_cfg": {"type": "DCNv2", "deform_groups": 4}, "add_extra_convs": "on_input"},
    ],
)
@pytest.mark.parametrize("size", [(96, 128), (200, 141)])
def test_equals_its_formulas(options: dict, size: tuple[int, int]) -> None:
    neck, feats = make_neck(**options).eval(), make_feats(*size)
    expected = Formulas(state_of(neck)).stages(feats[1:])
    with torch.no_grad():
        assert_equal_maps(neck.levels(feats), expected.levels)
        assert_equal_maps(neck.RevFP(expected.levels), expected.fused)
        assert_equal_maps(neck.CSN.msm(neck.CSN.on_grid(expected.fused)), expected.mixed.unbind(1))
        assert_equal_maps(neck.CSN.contexts(expected.mixed.unbind(1)), [expected.spatial, expected.scale])
        assert_equal_maps(neck(feats), expected.outs)


@pytest.mark.parametrize("norm", [BN, GN])
def test_trains_like_its_formulas(norm: dict) -> None:
    """Output, gradients and running statistics of one step, in float64, odd sizes."""
    neck = make_neck(norm_cfg=norm).double().train()
    feats = [x.double() for x in make_feats(136, 200)]
    state = {name: value.requires_grad_(value.is_floating_point()) for name, value in state_of(neck).items()}
    buffers = {name: state[name].requires_grad_(False) for name, _ in neck.named_buffers()}
    outs, expected = neck(feats), Formulas(state, training=True)(feats[1:])
    assert_equal_maps(outs, expected, 1e-10)
    targets = [torch.randn_like(x) for x in outs]
    for maps in (outs, expected):
        sum((x * target).sum() for x, target in zip(maps, targets)).backward()
    for name, parameter in neck.named_parameters():
        torch.testing.assert_close(
            parameter.grad, state[name].grad, rtol=1e-7, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}"
        )
    for name, buffer in neck.named_buffers():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(buffer, buffers[name], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({"norm_cfg": BN}, (919_040, 132_096, 5_740_992, 873_218)),
        ({"norm_cfg": GN}, (919_040, 132_096, 5_740_992, 873_218)),
        ({"norm_cfg": None}, (918_272, 131_584, 5_738_944, 871_938)),
        ({"norm_cfg": BN, "out_conv_cfg": None}, (919_040, 132_096, 4_745_232, 873_218)),
    ],
)
def test_has_the_authors_parameter_counts(options: dict, counts: tuple[int, ...]) -> None:
    with torch.device("meta"):
        neck = RCNet([256, 512, 1024, 2048], 256, 5, start_level=1, **options)
    parts = (neck.lateral_convs, neck.extra_downsamples, neck.RevFP, neck.CSN)
    assert tuple(count(part) for part in parts) == counts
    assert count(neck) == sum(counts)
    if options == {"norm_cfg": BN}:
        assert [count(node) for node in neck.RevFP.children()] == [719_929, 1_435_248, 1_435_248, 1_435_248, 715_319]


def count(part: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


# --------------------------------------------------------------------------- start


@pytest.mark.parametrize("initialise", [False, True])
def test_starts_as_the_authors_do(initialise: bool) -> None:
    """Shares are one half, attention is exactly 1, positions are unmoved; all else has Xavier values."""
    neck = RCNet(WIDTHS, 32, start_level=1, norm_cfg=BN)
    if initialise:
        neck.init_weights()
    level, coarser = torch.randn(2, 32, 9, 7), torch.randn(2, 32, 9, 7)
    for name, node in neck.RevFP.named_children():
        assert (node._share(node.weight[0], level, coarser) == 0.5).all(), name
        assert not any(parameter.any() for parameter in node.post_fusion.conv.conv_offset.parameters())
        assert 0.9 < float(node.post_fusion.conv.weight.detach().abs().max()) * 288**0.5 <= 1
        if name != "p7":
            assert torch.equal(node.attention(level, coarser), torch.ones(2, 1, 9, 7))
    convs = [(name, m) for name, m in neck.named_modules() if isinstance(m, torch.nn.Conv2d) and "RevFP" not in name]
    assert len(convs) == 3 + 2 + 10 + 4
    for name, conv in convs:
        bound = (6 / (conv.in_channels + conv.out_channels)) ** 0.5
        assert 0.8 * bound < float(conv.weight.detach().abs().max()) <= bound, name
        assert conv.bias is None or not conv.bias.any()


def test_initialises_once_and_never_over_loaded_weights(tmp_path: Any) -> None:
    source = make_neck()
    torch.save(source.state_dict(), tmp_path / "neck.pth")
    init = {"type": "Pretrained", "checkpoint": str(tmp_path / "neck.pth")}
    neck = RCNet(WIDTHS, 32, start_level=1, init_cfg=init)
    neck.init_weights()
    before = state_of(neck)
    neck.init_weights()
    assert all(torch.equal(before[name], value) for name, value in source.state_dict().items())
    assert all(torch.equal(before[name], value) for name, value in neck.state_dict().items())


def test_every_parameter_learns() -> None:
    """The temperatures' gradients are exactly 0 at first, because attention is uniform, and nonzero after an update."""
    neck = RCNet(WIDTHS, 32, start_level=1, norm_cfg=BN).train()
    optimizer, feats = torch.optim.SGD(neck.parameters(), lr=0.1), make_feats(136, 104)
    targets = [torch.randn_like(x) for x in neck(feats)]
    temperatures = [parameter for name, parameter in neck.named_parameters() if name.endswith("temp")]
    assert len(temperatures) == 4
    for step in range(2):
        optimizer.zero_grad()
        sum((x - target).square().mean() for x, target in zip(neck(feats), targets)).backward()
        assert all(parameter.grad is not None for parameter in neck.parameters())
        assert [bool(temp.grad.any()) for temp in temperatures] == [step > 0] * 4
        optimizer.step()


# --------------------------------------------------------------------------- shapes


def test_sizes_halve_rounding_up() -> None:
    neck, draw = make_neck(norm_cfg=BN).eval(), random.Random(0)
    for i in range(10):
        step = 32 if i < 3 else 1
        height, width = (step * draw.randint(64 // step, 320 // step) for _ in range(2))
        feats = make_feats(height, width)
        copies, listed = [x.clone() for x in feats], list(feats)
        with torch.no_grad():
            outs = neck(feats)
        size, sizes = tuple(feats[1].shape[2:]), []
        for _ in range(5):
            sizes.append(size)
            size = (-(-size[0] // 2), -(-size[1] // 2))
        assert [tuple(x.shape) for x in outs] == [(2, 32, *size) for size in sizes]
        assert all(a is b and torch.equal(a, c) for a, b, c in zip(feats, listed, copies))


@pytest.mark.parametrize("conv", [None, {"type": "DCNv2", "deform_groups": 2}])
def test_any_sizes_fit(conv: dict | None) -> None:
    """Sizes rounded down, of one side, equal, and unrelated: the formulas as written do not support these."""
    neck = make_neck(norm_cfg=GN, out_conv_cfg=conv).eval()
    feats = make_feats(203, 141, floors=True)
    outs = neck(feats)
    assert [tuple(x.shape[2:]) for x in outs] == [(25, 17), (12, 8), (6, 4), (3, 2), (2, 1)]
    for sizes in ([(9, 9), (9, 5), (5, 5), (5, 5)], [(7, 12), (20, 3), (4, 4), (1, 1)]):
        outs = neck([torch.randn(2, c, *size) for c, size in zip(WIDTHS, sizes)])
        assert [tuple(x.shape[2:]) for x in outs[:3]] == sizes[1:]
        assert all(x.isfinite().all() for x in outs)


@pytest.mark.parametrize(
    ("options", "strides"),
    [
        ({"num_outs": 5, "start_level": 0}, (4, 8, 16, 32, 64)),
        ({"num_outs": 3, "start_level": 1}, (8, 16, 32)),
        ({"num_outs": 4, "start_level": 2}, (16, 32, 64, 128)),
        ({"num_outs": 6, "start_level": 1}, (8, 16, 32, 64, 128, 256)),
        ({"num_outs": 3, "start_level": 0, "end_level": 3}, (4, 8, 16)),
        ({"num_outs": 5, "start_level": 1, "in_strides": (4, 8, 8, 8)}, (8, 8, 8, 16, 32)),
    ],
)
def test_any_number_of_levels(options: dict, strides: tuple[int, ...]) -> None:
    neck = make_neck(norm_cfg=GN, **options)
    assert neck.out_strides == strides
    assert neck.out_channels == (32,) * len(strides)
    outs = neck(make_feats(192, 136))
    sum(x.sum() for x in outs).backward()
    assert len(outs) == len(strides)
    assert all(parameter.grad is not None for parameter in neck.parameters())


def test_batches_do_not_mix_in_evaluation() -> None:
    neck, feats = make_neck(norm_cfg=BN).eval(), make_feats(batch=3)
    with torch.no_grad():
        assert_equal_maps([x[1:2] for x in neck(feats)], neck([x[1:2] for x in feats]), 1e-5)


# --------------------------------------------------------------------------- parts


def test_parts_can_be_left_out() -> None:
    feats = make_feats()
    whole, without = make_neck(norm_cfg=BN).eval(), make_neck(norm_cfg=BN, csn=False).eval()
    without.load_state_dict({name: value for name, value in whole.state_dict().items() if not name.startswith("CSN")})
    expected = Formulas(state_of(whole)).stages(feats[1:])
    assert_equal_maps(without(feats), expected.fused)
    plain = make_neck(norm_cfg=BN, rev_fp=False).eval()
    plain.load_state_dict({name: value for name, value in whole.state_dict().items() if not name.startswith("RevFP")})
    assert_equal_maps(plain(feats), whole.CSN(expected.levels), 1e-4)


def test_parts_work_separately() -> None:
    feats = [torch.randn(2, 32, 3 * 2**i, 2 * 2**i) for i in reversed(range(4))]
    copies = [x.clone() for x in feats]
    fused = RevFP(32, 4, out_conv_cfg=None)(feats)
    outs = CSN(32, 4)(fused)
    assert [x.shape for x in outs] == [x.shape for x in feats]
    assert all(torch.equal(a, b) for a, b in zip(feats, copies))


def test_levels_exchange_channels_in_a_circle() -> None:
    """Value of a map = 100 * level + channel."""
    levels = [100.0 * i + torch.arange(32.0).view(1, 32, 1, 1) for i in range(5)]
    first, last = (x.flatten().tolist() for x in (shift_levels(levels)[0], shift_levels(levels)[4]))
    assert first[:8] == [100, 101, 402, 403, 204, 205, 306, 307]
    assert last[:8] == [0, 1, 302, 303, 104, 105, 206, 207]
    assert first[8:] == list(range(32))


def test_registers_with_variants() -> None:
    neck = MODELS.build({"type": "RCNet", "in_channels": WIDTHS, "variant": "tiny"})
    assert (neck.out_channels, neck.out_strides) == ((32,) * 5, (4, 8, 16, 32, 64))
    assert RCNet(WIDTHS, variant="tiny", out_channels=48).out_channels == (48,) * 5
    assert RCNet(WIDTHS, csn=False, rev_fp=False).out_channels == (256,) * 5


# --------------------------------------------------------------------------- precision, recording


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("options", [{"norm_cfg": BN}, {"norm_cfg": None}, {"norm_cfg": GN, "out_conv_cfg": None}])
def test_autocast_is_finite_and_near(options: dict, dtype: torch.dtype) -> None:
    neck, feats = make_neck(**options).train(), make_feats(136, 104)
    with torch.autocast("cpu", dtype=dtype):
        outs = neck(feats)
    sum(x.float().mean() for x in outs).backward()
    assert all(parameter.grad.isfinite().all() for parameter in neck.parameters())
    neck.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        outs = neck(feats)
    with torch.no_grad():
        exact = neck(feats)
    for half, full in zip(outs, exact):
        assert float((half - full).abs().mean()) < 20 * torch.finfo(dtype).eps * float(full.abs().mean())


def test_runs_on_the_meta_device() -> None:
    with torch.device("meta"):
        outs = RCNet(WIDTHS, variant="tiny", norm_cfg=BN)([x.to("meta") for x in make_feats()])
    assert tuple(outs[0].shape) == (2, 32, 24, 18)


@pytest.mark.parametrize("conv", [None, {"type": "DCNv2", "deform_groups": 2}])
def test_exports(conv: dict | None) -> None:
    neck, feats = make_neck(norm_cfg=BN, out_conv_cfg=conv).eval(), make_feats(104, 72)
    exported = torch.export.export(neck, (feats,)).module()
    other = make_feats(104, 72)
    assert_equal_maps(exported(other), neck(other))


@pytest.mark.parametrize("conv", [None, {"type": "DCNv2", "deform_groups": 2}])
def test_traces(conv: dict | None) -> None:
    neck, feats = make_neck(norm_cfg=BN, out_conv_cfg=conv).eval(), make_feats(104, 72)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # tracing fixes sizes, as intended
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(neck, (feats,))
    other = make_feats(104, 72)
    assert_equal_maps(traced(other), neck(other))


# --------------------------------------------------------------------------- converter


DETECTORS = {
    "mmdet.RetinaHead": {},
    "mmdet.ATSSHead": {},
    "mmdet.GFLHead": {"reg_max": 8},
}


def make_detector(head: str) -> torch.nn.Module:
    """Return a narrow one-stage detector with our neck."""
    single = {"octave_base_scale": 8, "scales_per_octave": 1, "ratios": [1.0]}
    anchors = {"type": "mmdet.AnchorGenerator", "strides": [8, 16, 32, 64, 128]} | single
    cfg = {
        "type": {"mmdet.RetinaHead": "mmdet.RetinaNet", "mmdet.ATSSHead": "mmdet.ATSS"}.get(head, "mmdet.GFL"),
        "backbone": {"type": "mmdet.ResNet", "depth": 18, "base_channels": 8},
        "neck": {"type": "RCNet", "in_channels": [8, 16, 32, 64], "variant": "tiny", "start_level": 1, "norm_cfg": BN},
        "bbox_head": {"type": head, "num_classes": 3, "in_channels": 32, "feat_channels": 32, "stacked_convs": 1}
        | {"anchor_generator": anchors}
        | DETECTORS[head],
    }
    if head == "mmdet.ATSSHead":
        cfg["bbox_head"]["norm_cfg"] = GN
    if head == "mmdet.GFLHead":
        cfg["bbox_head"]["norm_cfg"] = GN
    with DefaultScope.overwrite_default_scope("visionzoo"):
        return MODELS.build(cfg)


@pytest.mark.parametrize("head", DETECTORS)
@pytest.mark.parametrize("layout", ["file", "state dict", "parallel", "averaged"])
def test_converts_a_detector(head: str, layout: str) -> None:
    """A checkpoint in mmdet 2.10's format loads strictly, and the loaded weights are equal."""
    source, target = make_detector(head), make_detector(head)
    state: dict[str, Any] = dict(source.state_dict())
    if layout == "parallel":
        state = {f"module.{name}": value for name, value in state.items()}
    if layout == "averaged":
        state |= {"ema_" + name.replace(".", "_"): value for name, value in source.state_dict().items()}
    checkpoint = state if layout == "state dict" else {"meta": {"epoch": 12}, "state_dict": state, "optimizer": {}}
    target.load_state_dict(RCNet.convert(checkpoint))
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())


def test_converts_early_offsets() -> None:
    neck = make_neck()
    early = {f"neck.{name.replace('.conv.conv_offset', '.conv_offset')}": x for name, x in neck.state_dict().items()}
    assert set(early) != {f"neck.{name}" for name in neck.state_dict()}
    before = dict(early)
    make_neck().load_state_dict(convert(early))
    assert early == before


def test_converts_a_single_neck() -> None:
    neck = make_neck(norm_cfg=BN)
    state = neck.state_dict()
    for given in (state, {f"neck.{name}": value for name, value in state.items()} | {"backbone.x": torch.ones(1)}):
        make_neck(norm_cfg=BN).load_state_dict(convert(given))
    assert set(convert_detector(state)) == set(state)


@pytest.mark.parametrize(
    "state",
    [{}, {"neck.fpn_convs.0.conv.weight": torch.ones(1)}, {"backbone.conv1.weight": torch.ones(1)}, {"epoch": 3}],
)
def test_other_checkpoints_are_an_error(state: dict) -> None:
    with pytest.raises(CheckpointError, match="expected an RCNet neck"):
        convert_detector({"state_dict": state})


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"out_channels": 40}, r"out_channels: expected a multiple of 16.*found 40; use 32"),
        ({"out_channels": 8}, r"expected a multiple of 16.*use 16"),
        ({"num_outs": 2}, r"num_outs: expected a whole number from 3 to 6, found 2"),
        ({"num_outs": 7}, r"num_outs: expected a whole number from 3 to 6, found 7"),
        ({"num_outs": 3, "start_level": 0}, r"num_outs: expected 4 or more for inputs 0 to 3, found 3"),
        ({"num_outs": 5, "start_level": 1, "end_level": 4}, r"num_outs: expected 3 for inputs 1 to 3, found 5"),
        ({"start_level": 4}, r"expected 0 <= start_level < end_level <= 4"),
        ({"end_level": 5}, r"expected 0 <= start_level < end_level <= 4"),
        ({"in_strides": [4, 8]}, r"in_strides: expected one per level, 4"),
        ({"out_conv_cfg": {"type": "DCN"}}, r"out_conv_cfg: expected None, .*found {'type': 'DCN'}"),
        ({"out_conv_cfg": {"type": "DCNv2", "groups": 2}}, r"out_conv_cfg: expected None"),
        ({"out_conv_cfg": {"type": "Conv2d", "deform_groups": 2}}, r"out_conv_cfg: expected None"),
        ({"out_conv_cfg": {"type": "DCNv2", "deform_groups": 3}}, r"deform_groups: expected a divisor of the 32"),
    ],
)
def test_misfits_are_errors(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_neck(**options)


def test_channels_need_no_sixteenths_without_shifts() -> None:
    assert [x.shape[1] for x in make_neck(out_channels=40, csn=False)(make_feats())] == [40] * 5


def test_unknown_variant_and_wrong_inputs() -> None:
    with pytest.raises(UnknownName, match="did you mean 'tiny'"):
        RCNet(WIDTHS, variant="tinny")
    with pytest.raises(ConfigError, match=r"expected 4 feature maps.*found 3"):
        make_neck()(make_feats()[1:])
