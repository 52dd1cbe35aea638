"""Messages between slices: definition, gradients, layouts, half precision, recording, and refused inputs."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visionzoo.errors import ConfigError
from visionzoo.ops.message_passing import pass_messages, pass_messages_by_list

DIRECTIONS = [(2, False), (2, True), (3, False), (3, True)]
# Few images use matrix products, many use convolutions.
BATCHES = (1, 3, 5)
SIZES = [(1, 1), (1, 7), (6, 1), (2, 3), (5, 8), (9, 4)]


def by_slices(x, weight, bias=None, *, dim, reverse, update_first=True):
    """Compute the definition: one convolution per slice, with a 2-d kernel as in the released code."""
    half = weight.shape[2] // 2
    kernel, padding = (weight[:, :, None], (0, half)) if dim == 2 else (weight[..., None], (half, 0))
    slices = list(x.split(1, dim))
    order = list(range(len(slices)))[:: -1 if reverse else 1]
    if reverse and not update_first:
        order.remove(0)
    for source, target in pairwise(order):
        slices[target] = slices[target] + F.relu(F.conv2d(slices[source], kernel, bias, padding=padding))
    return torch.cat(slices, dim)


def draw(batch, height, width, kernel, with_bias, seed=0, channels=4):
    """Draw a map, a kernel and optionally a bias, in float64, that require gradients."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, channels, height, width, dtype=torch.float64, generator=generator)
    weight = torch.randn(channels, channels, kernel, dtype=torch.float64, generator=generator) * 0.3
    bias = torch.randn(channels, dtype=torch.float64, generator=generator) if with_bias else None
    return [None if value is None else value.requires_grad_() for value in (x, weight, bias)]


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("kernel", [1, 3, 9])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", BATCHES)
def test_outputs_and_gradients_are_those_of_the_definition(batch, size, kernel, with_bias):
    for dim, reverse in DIRECTIONS:
        for update_first in (True, False):
            inputs = draw(batch, *size, kernel, with_bias)
            options = dict(dim=dim, reverse=reverse, update_first=update_first)
            expected, result = by_slices(*inputs, **options), pass_messages(*inputs, **options)
            with torch.no_grad():
                torch.testing.assert_close(pass_messages(*inputs, **options), expected, rtol=0, atol=1e-12)
            torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
            wanted = [value for value in inputs if value is not None]
            given = torch.randn_like(expected)
            pairs = zip(
                torch.autograd.grad(result, wanted, given),
                torch.autograd.grad(expected, wanted, given, allow_unused=True),
                strict=True,
            )
            for ours, theirs in pairs:
                torch.testing.assert_close(
                    ours, torch.zeros_like(ours) if theirs is None else theirs, rtol=0, atol=1e-9
                )


@pytest.mark.parametrize(("dim", "reverse"), DIRECTIONS)
@pytest.mark.parametrize("batch", [1, 4])
def test_gradients_by_differences(batch, dim, reverse):
    inputs = draw(batch, 3, 4, 3, with_bias=True, seed=2, channels=2)
    assert torch.autograd.gradcheck(lambda *values: pass_messages(*values, dim=dim, reverse=reverse), inputs)


@pytest.mark.parametrize("only", [0, 1, 2])
@pytest.mark.parametrize("batch", [2, 4])
def test_a_gradient_of_only_one_input(batch, only):
    inputs = draw(batch, 5, 4, 3, with_bias=True)
    expected = torch.autograd.grad(by_slices(*inputs, dim=3, reverse=True).sum(), inputs[only])
    single = [value.detach().requires_grad_(index == only) for index, value in enumerate(inputs)]
    pass_messages(*single, dim=3, reverse=True).sum().backward()
    torch.testing.assert_close(single[only].grad, *expected)
    assert [value.grad is not None for value in single] == [index == only for index in range(3)]


@pytest.mark.parametrize("batch", [1, 4])
def test_first_slice_is_unchanged_and_the_second_is_computed_by_hand(batch):
    x, weight, _ = (None if value is None else value.detach() for value in draw(batch, 4, 6, 3, with_bias=False))
    out = pass_messages(x, weight, dim=2)
    assert torch.equal(out[:, :, 0], x[:, :, 0])
    padded = F.pad(x[:, :, 0], (1, 1))
    message = sum(torch.einsum("oc,bcl->bol", weight[:, :, k], padded[:, :, k : k + 6]) for k in range(3))
    torch.testing.assert_close(out[:, :, 1], x[:, :, 1] + message.clamp(min=0))
    assert torch.equal(pass_messages(x, weight, dim=3, reverse=True)[..., -1], x[..., -1])


@pytest.mark.parametrize(("dim", "reverse"), DIRECTIONS)
def test_a_message_passes_in_one_direction(dim, reverse):
    weight = torch.full((2, 2, 3), 0.5)
    x = torch.ones(1, 2, 5, 7)
    changed = x.clone()
    changed.select(dim, 3).add_(1)
    difference = pass_messages(changed, weight, dim=dim, reverse=reverse) - pass_messages(
        x, weight, dim=dim, reverse=reverse
    )
    touched = [bool(part.any()) for part in difference.unbind(dim)]
    assert touched == [(place <= 3 if reverse else place >= 3) for place in range(x.shape[dim])]


def test_without_the_first_slice_the_others_are_the_same():
    x, weight, _ = (None if value is None else value.detach() for value in draw(2, 5, 6, 3, with_bias=False))
    for dim in (2, 3):
        every = pass_messages(x, weight, dim=dim, reverse=True)
        some = pass_messages(x, weight, dim=dim, reverse=True, update_first=False)
        assert torch.equal(some.select(dim, 0), x.select(dim, 0))
        assert not torch.equal(every.select(dim, 0), x.select(dim, 0))
        assert torch.equal(some.narrow(dim, 1, x.shape[dim] - 1), every.narrow(dim, 1, x.shape[dim] - 1))
        assert torch.equal(
            pass_messages(x, weight, dim=dim, update_first=False), pass_messages(x, weight, dim=dim)
        )  # down and right begin there


@pytest.mark.parametrize("batch", [2, 4])
def test_any_layout_has_the_same_result_and_is_kept(batch):
    x, weight, _ = (None if value is None else value.detach() for value in draw(batch, 5, 6, 3, with_bias=False))
    kept = x.clone()
    wide = torch.zeros(batch, 8, 5, 12, dtype=x.dtype)
    wide[:, ::2, :, ::2] = x
    layouts = [x, x.contiguous(memory_format=torch.channels_last), wide[:, ::2, :, ::2], x.transpose(2, 3).clone().mT]
    for dim, reverse in DIRECTIONS:
        expected = by_slices(x, weight, dim=dim, reverse=reverse)
        for layout in layouts:
            result = pass_messages(layout, weight, dim=dim, reverse=reverse)
            torch.testing.assert_close(result, expected)
            assert torch.equal(layout, kept)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_adds_up_in_float32(batch, dtype):
    """100 columns of messages of 1000 exceed half precision's range."""
    x = torch.full((batch, 2, 3, 100), 1000.0, requires_grad=True)
    weight = torch.zeros(2, 2, 3)
    weight[:, :, 1] = 0.5
    weight.requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        out = pass_messages(x.to(dtype), weight, dim=3)
        out.mean().backward()
    assert out.dtype == torch.float32
    torch.testing.assert_close(out[0, 0, 0], 1000.0 * torch.arange(1, 101))
    assert x.grad.isfinite().all()
    assert weight.grad.isfinite().all()
    with torch.no_grad():
        assert pass_messages(torch.ones(batch, 2, 3, 4, dtype=dtype), weight.to(dtype), dim=2).dtype == dtype


class _Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(draw(1, 1, 1, 3, with_bias=False)[1].detach().float())

    def forward(self, x):
        x = pass_messages(x, self.weight, dim=2, reverse=True, update_first=False)
        return pass_messages(x, self.weight, dim=3)


@pytest.mark.parametrize("batch", [1, 4])
def test_can_be_recorded(batch):
    module, x = _Both(), torch.randn(batch, 4, 5, 6)
    recorded = torch.export.export(module, (x,))
    assert not any("as_strided" in str(node.target) for node in recorded.graph.nodes)
    torch.testing.assert_close(recorded.module()(x), module(x))
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), module(x))


def test_a_list_of_slices_has_the_same_result():
    x, weight, bias = draw(2, 5, 6, 3, with_bias=True)
    result = pass_messages_by_list(x, weight, bias, range(4, -1, -1), 2)
    torch.testing.assert_close(result, pass_messages(x, weight, bias, dim=2, reverse=True))


@pytest.mark.parametrize(
    ("x", "weight", "options", "message"),
    [
        ((1, 4, 5, 6), (4, 4, 3), dict(dim=1), "expected dim 2 for rows or 3 for columns, found 1"),
        ((1, 4, 5, 6), (4, 4, 2), dict(dim=2), "K odd"),
        ((1, 4, 5, 6), (3, 3, 3), dict(dim=2), r"found \(1, 4, 5, 6\) and \(3, 3, 3\)"),
        ((4, 5, 6), (4, 4, 3), dict(dim=2), r"a map \(B, C, H, W\)"),
        ((1, 4, 5, 6), (4, 4, 1, 3), dict(dim=2), r"a weight \(C, C, K\)"),
    ],
)
def test_what_does_not_fit_is_refused(x, weight, options, message):
    with pytest.raises(ConfigError, match=message):
        pass_messages(torch.zeros(x), torch.zeros(weight), **options)


def test_a_bias_of_other_channels_is_refused():
    with pytest.raises(ConfigError, match=r"a bias of \(4,\), found \(3,\)"):
        pass_messages(torch.zeros(1, 4, 5, 6), torch.zeros(4, 4, 3), torch.zeros(3), dim=2)
