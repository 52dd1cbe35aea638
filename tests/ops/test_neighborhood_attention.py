"""Neighborhood attention: every implementation equals the definition; refused inputs."""

from __future__ import annotations

import random
import sys
import types

import pytest
import torch
from neighborhood_loop import axis_keys, slow_attention
from torch import nn

from visionzoo.errors import ConfigError, UnknownName
from visionzoo.ops.neighborhood_attention import (
    attention_weights,
    compiled,
    na1d,
    na2d,
    na3d,
    neighborhood_rules,
    tiles,
)

BY_AXES = {1: na1d, 2: na2d, 3: na3d}


@pytest.fixture
def small_tiles(monkeypatch):
    """Use tiles so small that maps of a few tokens have inner tiles."""
    monkeypatch.setattr(tiles, "_TILES", {1: (4, 3), 2: (4, 3), 3: (2,)})
    monkeypatch.setattr(tiles, "_SMALL_TILES", {1: (3,), 2: (3,), 3: (2,)})


def draw(seed):
    """Draw a random case: sizes that the dilation does not divide, windows as large as the map, every option."""
    rng = random.Random(seed)
    axes = rng.choice([1, 1, 2, 2, 3])
    with_bias = rng.random() < 0.5
    kernels = ([3, 5] if with_bias else [2, 3, 4, 5, 6]) if axes < 3 else ([3] if with_bias else [2, 3])
    kernel = [rng.choice(kernels) for _ in range(axes)]
    dilation = [rng.randint(1, 3) for _ in range(axes)]
    stride = [1 if with_bias else rng.randint(1, size) for size in kernel]
    causal = [not with_bias and rng.random() < 0.3 for _ in range(axes)]
    more = [0, 0, 1, 2, 5] if axes > 1 else [0, 1, 7, 25]
    sizes = [k * d + rng.choice(more) for k, d in zip(kernel, dilation)]
    torch.manual_seed(seed)
    q, k, v = (torch.randn(2, *sizes, 2, 3, dtype=torch.double, requires_grad=True) for _ in range(3))
    rpb = None
    if with_bias:
        rpb = torch.randn(2, *(2 * k - 1 for k in kernel), dtype=torch.double, requires_grad=True)
    return q, k, v, kernel, dict(stride=stride, dilation=dilation, is_causal=causal, rpb=rpb)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("seed", range(24))
def test_every_implementation_is_the_definition(seed):
    q, k, v, kernel, options = draw(seed)
    o = options
    expected = slow_attention(q, k, v, kernel, o["stride"], o["dilation"], o["is_causal"], o["rpb"])
    leaves = [x for x in (q, k, v, o["rpb"]) if x is not None]
    weight = torch.randn_like(expected)
    gradients = torch.autograd.grad(expected, leaves, weight)
    for implementation in ("auto", "dense", "tiles"):
        output = BY_AXES[len(kernel)](q, k, v, kernel, **options, implementation=implementation)
        torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-9)
        for a, b in zip(torch.autograd.grad(output, leaves, weight), gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
        with torch.no_grad():
            output = BY_AXES[len(kernel)](q, k, v, kernel, **options, implementation=implementation)
        torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("seed", range(100, 112))
def test_weights_are_those_of_the_output(seed):
    """The weights of every window, applied to its values one by one, equal the output."""
    q, k, v, kernel, options = draw(seed)
    weights = attention_weights(q, k, kernel, **options)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    out = BY_AXES[len(kernel)](q, k, v, kernel, **options)
    for query in [tuple(0 for _ in kernel), tuple(size - 1 for size in q.shape[1:-2])]:
        rest = zip(query, q.shape[1:-2], kernel, options["stride"], options["dilation"], options["is_causal"])
        axes = [axis_keys(*arguments) for arguments in rest]
        values = v[:, axes[0]]
        for axis, chosen in enumerate(axes[1:], start=2):
            values = values.index_select(axis, torch.tensor(chosen))
        values = values.flatten(1, len(axes))  # (B, N, heads, D)
        window = weights[(slice(None), *query)].unflatten(-1, kernel)  # each axis keeps its slots
        used = window[(..., *(slice(len(keys)) for keys in axes))].flatten(2)
        torch.testing.assert_close(torch.einsum("bhn,bnhd->bhd", used, values), out[(slice(None), *query)])


def test_a_window_as_large_as_the_map_is_full_attention_with_the_bias_of_each_distance():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 5, 5, 3, 4) for _ in range(3))
    rpb = torch.randn(3, 9, 9)
    place = torch.arange(5)
    distance = place[None] - place[:, None] + 4  # (query, key)
    bias = rpb[:, distance[:, None, :, None], distance[None, :, None, :]].reshape(3, 25, 25)
    flat = [x.flatten(1, 2).transpose(1, 2) for x in (q, k, v)]
    full = nn.functional.scaled_dot_product_attention(*flat, attn_mask=bias[None])
    torch.testing.assert_close(na2d(q, k, v, 5, rpb=rpb), full.transpose(1, 2).reshape(q.shape))


@pytest.mark.parametrize("kernel", [3, 4])
def test_a_stride_as_long_as_the_kernel_is_attention_in_blocks(kernel):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3 * kernel, 2, 4) for _ in range(3))
    blocks = [x.unflatten(1, (3, kernel)).transpose(2, 3) for x in (q, k, v)]
    expected = nn.functional.scaled_dot_product_attention(*blocks).transpose(2, 3).flatten(1, 2)
    torch.testing.assert_close(na1d(q, k, v, kernel, stride=kernel), expected)


def test_a_causal_query_sees_nothing_after_it():
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 12, 1, 4) for _ in range(3))
    before = na1d(q, k, v, 5, is_causal=True)
    k[:, 7:], v[:, 7:] = 9.0, 9.0
    torch.testing.assert_close(na1d(q, k, v, 5, is_causal=True)[:, :7], before[:, :7])


@pytest.mark.parametrize("trains", [True, False])
def test_gradients_on_a_small_map(trains):
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 5, 6, 1, 2, dtype=torch.double, requires_grad=True) for _ in range(3))
    rpb = torch.randn(1, 5, 5, dtype=torch.double, requires_grad=trains)
    implementation = "tiles" if trains else "dense"

    def attend(q, k, v, rpb):
        return na2d(q, k, v, 3, dilation=(1, 2), rpb=rpb, implementation=implementation)

    assert torch.autograd.gradcheck(attend, (q, k, v, rpb))


def test_a_custom_scale():
    q, k, v = (torch.randn(1, 9, 1, 4) for _ in range(3))
    torch.testing.assert_close(na1d(q, k, v, 3, scale=1.0), na1d(q * 2, k, v, 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("trains", [True, False])
def test_half_precision_is_finite_and_near(dtype, trains):
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 20, 21, 2, 8, requires_grad=trains) for _ in range(3))
    rpb = torch.randn(2, 13, 13, requires_grad=trains)
    exact = na2d(q, k, v, 7, dilation=2, rpb=rpb)
    with torch.autocast("cpu", dtype):
        near = na2d(q.to(dtype), k.to(dtype), v.to(dtype), 7, dilation=2, rpb=rpb)
    torch.testing.assert_close(near.float(), exact, atol=0.05, rtol=0.05)


def test_large_groups_are_cut_and_small_ones_are_not():
    rules = neighborhood_rules((56, 56), 7)
    assert [axis.tile for axis in tiles.tiling_of((56, 56), rules, "auto", trains=False)] == [8, 8]
    assert [axis.tile for axis in tiles.tiling_of((28, 28), rules, "auto", trains=True)] == [4, 4]
    assert [axis.tile for axis in tiles.tiling_of((14, 14), rules, "auto", trains=False)] == [14, 14]
    inner = tiles.axis_tiles(rules[0], 56, 8)
    assert (len(inner.starts), len(inner.visible), inner.block) == (7, 3, 14)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (dict(kernel_size=7, dilation=2), r"axis 0: expected kernel \* dilation of at most the map's 9, found 7 \* 2"),
        (dict(kernel_size=(3, 12)), r"axis 1: .* at most the map's 11, found 12 \* 1"),
        (dict(kernel_size=3, stride=4), "stride from 1 to the kernel's 3, found 4"),
        (dict(kernel_size=3, dilation=0), "dilation of at least 1"),
        (dict(kernel_size=1), "kernel of at least 2"),
        (dict(kernel_size=(3, 3, 3)), "one for each of 2 axes"),
        (dict(kernel_size=4, rpb=torch.zeros(2, 7, 7)), "odd kernels.*found kernel \\[4, 4\\]"),
        (dict(kernel_size=3, stride=2, rpb=torch.zeros(2, 5, 5)), "stride 1"),
        (dict(kernel_size=3, is_causal=True, rpb=torch.zeros(2, 5, 5)), "no causal axis"),
        (dict(kernel_size=3, rpb=torch.zeros(2, 5, 7)), r"shape \(2, 5, 5\), found \(2, 5, 7\)"),
    ],
)
def test_impossible_settings_are_named(options, expected):
    q = torch.zeros(1, 9, 11, 2, 4)
    with pytest.raises(ConfigError, match=expected):
        na2d(q, q, q, **options)


def test_other_mistakes_are_named():
    q = torch.zeros(1, 9, 11, 2, 4)
    with pytest.raises(ConfigError, match="na2d: expected q, k and v of one shape with 5 axes"):
        na2d(q[0], q[0], q[0], 3)
    with pytest.raises(ConfigError, match="one shape"):
        na2d(q, q[:, 1:], q, 3)
    with pytest.raises(UnknownName, match="did you mean 'tiles'"):
        na2d(q, q, q, 3, implementation="tile")


def test_natten_is_used_by_name_where_it_supports_the_settings(monkeypatch):
    q = torch.randn(1, 9, 11, 2, 4)
    monkeypatch.setattr(compiled, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="expected natten to be installed"):
        na2d(q, q, q, 3, implementation="natten")
    arguments = {}

    def function(q, k, v, kernel_size, dilation, scale):
        arguments.update(kernel_size=kernel_size, dilation=dilation, scale=scale)
        return q + 1

    monkeypatch.setattr(compiled, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "natten", types.SimpleNamespace(na2d=function))
    monkeypatch.setitem(sys.modules, "natten.functional", types.SimpleNamespace(na2d=function))
    assert torch.equal(na2d(q, q, q, 3, dilation=2, implementation="natten"), q + 1)
    assert arguments == {"kernel_size": (3, 3), "dilation": (2, 2), "scale": 0.5}
    with pytest.raises(ConfigError, match="whose na2d takes rpb, found one without"):
        na2d(q, q, q, 3, rpb=torch.zeros(2, 5, 5), implementation="natten")
