"""Convolutions, attention, upsampling and losses against loops written from their definitions."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import (
    CARAFE,
    DeformConv2d,
    DeformConv2dPack,
    ModulatedDeformConv2dPack,
    MultiScaleDeformableAttention,
    carafe,
    carafe_naive,
    deform_conv2d,
    masked_conv2d,
    modulated_deform_conv2d,
    sigmoid_focal_loss,
    softmax_focal_loss,
)
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmcv.ops.psa_mask import psa_mask
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sample(plane: Tensor, y: float, x: float) -> Tensor:
    """Interpolate (H, W) bilinearly, zero outside."""
    top, left = math.floor(y), math.floor(x)
    total = plane.new_zeros(())
    for row, down in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, along in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                total = total + down * along * plane[row, column]
    return total


def slow_deform_conv(x, offset, mask, weight, bias, stride, padding, dilation, groups, deform_groups):
    outs, ins, kernel_h, kernel_w = weight.shape
    batch, channels, _, _ = x.shape
    out = x.new_zeros(batch, outs, *offset.shape[2:])
    taps = kernel_h * kernel_w
    for b, o, i, j in torch.cartesian_prod(*(torch.arange(size) for size in out.shape)).tolist():
        for c in range(ins):
            channel = o // (outs // groups) * ins + c
            group = channel // (channels // deform_groups)
            for tap in range(taps):
                dy, dx = offset[b, 2 * (group * taps + tap) : 2 * (group * taps + tap) + 2, i, j].tolist()
                y = i * stride - padding + tap // kernel_w * dilation + dy
                z = j * stride - padding + tap % kernel_w * dilation + dx
                value = weight[o, c, tap // kernel_w, tap % kernel_w] * sample(x[b, channel], y, z)
                out[b, o, i, j] += value * (1 if mask is None else mask[b, group * taps + tap, i, j])
    return out if bias is None else out + bias[:, None, None]


SETTINGS = [(1, 1, 1, 1, 1), (2, 1, 1, 2, 2), (1, 2, 2, 1, 2)]  # stride, padding, dilation, groups, deform_groups


def deform_case(stride, padding, dilation, groups, deform_groups):
    x, weight = random(2, 4, 5, 6), random(2, 4 // groups, 3, 2, seed=1)
    size = [(n + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for n, k in ((5, 3), (6, 2))]
    offset = random(2, 2 * deform_groups * 6, *size, seed=2) * 1.3
    mask = random(2, deform_groups * 6, *size, seed=3).sigmoid()
    return x, offset, mask, weight, random(2, seed=4)


@pytest.mark.parametrize("settings", SETTINGS)
def test_deform_conv_equals_loop_and_differentiates(settings):
    x, offset, _, weight, _ = deform_case(*settings)
    assert_close(
        deform_conv2d(x, offset, weight, *settings), slow_deform_conv(x, offset, None, weight, None, *settings)
    )
    leaves = [tensor.requires_grad_() for tensor in (x, offset, weight)]
    assert gradcheck(lambda *tensors: deform_conv2d(*tensors, *settings), leaves)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("with_bias", [True, False])
def test_modulated_deform_conv_equals_loop_and_differentiates(settings, with_bias: bool):
    x, offset, mask, weight, bias = deform_case(*settings)
    bias = bias if with_bias else None
    expected = slow_deform_conv(x, offset, mask, weight, bias, *settings)
    assert_close(modulated_deform_conv2d(x, offset, mask, weight, bias, *settings), expected)
    leaves = [tensor.requires_grad_() for tensor in (x, offset, mask, weight, *([bias] if with_bias else []))]
    assert gradcheck(
        lambda *tensors: modulated_deform_conv2d(*tensors, *([] if with_bias else [None]), *settings), leaves
    )


@pytest.mark.parametrize("layer", [DeformConv2dPack, ModulatedDeformConv2dPack])
def test_deform_conv_under_autocast(layer):
    """Offsets are outputs of a bfloat16 convolution. The result has their type and about the accuracy of float32."""
    torch.manual_seed(0)
    conv, image = layer(6, 4, 3, padding=1), torch.randn(2, 6, 7, 9)
    exact = conv(image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = conv(image)
    assert out.dtype == torch.bfloat16
    assert_close(out.float(), exact, atol=0.05, rtol=0.02)
    out.float().square().mean().backward()
    for parameter in conv.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("layer", [DeformConv2dPack, ModulatedDeformConv2dPack])
def test_deform_conv_on_meta_has_the_right_shape(layer):
    conv = layer(6, 4, 3, stride=2, padding=1).to("meta")
    out = conv(torch.empty(2, 6, 7, 10, device="meta"))
    assert out.is_meta
    assert out.shape == (2, 4, 4, 5)
    out.sum().backward()


def test_deform_conv_without_offsets_is_a_convolution():
    conv, image = DeformConv2d(4, 6, 3, padding=1).double(), random(2, 4, 5, 7)
    assert_close(conv(image, torch.zeros(2, 18, 5, 7).double()), F.conv2d(image, conv.weight, padding=1))


def focal(prob: float, alpha: float, gamma: float) -> float:
    return -alpha * (1 - prob) ** gamma * math.log(prob)


@pytest.mark.parametrize("weighted", [True, False])
def test_sigmoid_focal_loss_equals_loop_and_differentiates(weighted: bool):
    logits, target = random(6, 3), torch.tensor([0, 2, 3, 1, 3, 0])  # 3 is background, not a class
    weight = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64) if weighted else None
    expected = torch.zeros(6, 3, dtype=torch.float64)
    for n, t in enumerate(target.tolist()):
        for c in range(3):
            prob = float(logits[n, c].sigmoid())
            loss = focal(prob, 0.25, 2.5) if t == c else focal(1 - prob, 0.75, 2.5)
            expected[n, c] = loss * (float(weight[t]) if weighted and t < 3 else 1)
    assert_close(sigmoid_focal_loss(logits, target, 2.5, 0.25, weight, "none"), expected)
    assert_close(sigmoid_focal_loss(logits, target, 2.5, 0.25, weight, "mean"), expected.sum() / 6)
    assert gradcheck(lambda x: sigmoid_focal_loss(x, target, 2.5, 0.25, weight, "sum"), logits.requires_grad_())
    assert gradcheck(lambda x: sigmoid_focal_loss(x, target, 2.5, 0.25, weight, "none"), logits)


@pytest.mark.parametrize("weighted", [True, False])
def test_softmax_focal_loss_equals_loop_and_differentiates(weighted: bool):
    logits, target = random(5, 4), torch.tensor([0, 3, -1, 1, 2])  # -1 is ignored
    weight = torch.tensor([0.5, 2.0, 3.0, 1.5], dtype=torch.float64) if weighted else None
    probs = logits.softmax(1)
    expected = [
        0.0 if t < 0 else focal(float(probs[n, t]), 0.25, 2.5) * (float(weight[t]) if weighted else 1)
        for n, t in enumerate(target.tolist())
    ]
    out = softmax_focal_loss(logits, target, 2.5, 0.25, weight, "none")
    assert_close(out, torch.tensor(expected, dtype=torch.float64))
    assert gradcheck(lambda x: softmax_focal_loss(x, target, 2.5, 0.25, weight, "sum"), logits.requires_grad_())


@pytest.mark.parametrize("loss", [sigmoid_focal_loss, softmax_focal_loss])
def test_focal_losses_of_extreme_logits_and_of_none(loss):
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss(logits, torch.tensor([1, 1]), 2.0, 0.25, None, "sum").backward()
    assert logits.grad.isfinite().all()
    assert loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, "sum") == 0


SHAPES = [(5, 7), (3, 2)]


def attention_case():
    value = random(2, sum(h * w for h, w in SHAPES), 2, 3)
    locations = (
        torch.rand(2, 4, 2, 2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 1.4 - 0.2
    )
    weights = random(2, 4, 2, 2, 3, seed=2).flatten(3).softmax(3).view(2, 4, 2, 2, 3)
    return value, torch.tensor(SHAPES), torch.tensor([0, 35]), locations, weights


def test_ms_deform_attn_equals_loop():
    value, shapes, starts, locations, weights = attention_case()
    expected = torch.zeros(2, 4, 2, 3, dtype=torch.float64)
    for b, q, m, level, p in torch.cartesian_prod(*(torch.arange(n) for n in weights.shape)).tolist():
        height, width = SHAPES[level]
        x, y = locations[b, q, m, level, p].tolist()
        start = int(starts[level])
        planes = value[b, start : start + height * width, m].T.view(3, height, width)
        for d in range(3):
            expected[b, q, m, d] += weights[b, q, m, level, p] * sample(planes[d], y * height - 0.5, x * width - 0.5)
    out = MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, 64)
    assert_close(out, expected.flatten(2))


def test_ms_deform_attn_differentiates():
    value, shapes, starts, locations, weights = attention_case()
    leaves = [tensor.requires_grad_() for tensor in (value, locations, weights)]
    assert gradcheck(
        lambda v, where, w: MultiScaleDeformableAttnFunction.apply(v, shapes, starts, where, w, 64), leaves
    )


def test_ms_deform_attn_keeps_half_precision_and_takes_no_queries():
    value, shapes, starts, locations, weights = attention_case()
    half = MultiScaleDeformableAttnFunction.apply(value.half(), shapes, starts, locations, weights, 64)
    assert half.dtype == torch.float16
    assert half.shape == (2, 4, 6)
    none = MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations[:, :0], weights[:, :0], 64)
    assert none.shape == (2, 0, 6)


def test_ms_deform_attn_on_meta():
    value, shapes, starts, locations, weights = (tensor.to("meta") for tensor in attention_case())
    assert MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, 64).shape == (2, 4, 6)


def test_ms_deform_attn_equals_the_layer_of_mmcv():
    """On the CPU the layer uses mmcv's own torch code; the served op must agree with it."""
    torch.manual_seed(0)
    layer = MultiScaleDeformableAttention(embed_dims=8, num_heads=2, num_levels=2, num_points=3, batch_first=True)
    torch.nn.init.normal_(layer.sampling_offsets.weight)
    query, value = torch.randn(2, 4, 8), torch.randn(2, 41, 8)
    points, shapes, starts = torch.rand(2, 4, 2, 2), torch.tensor(SHAPES), torch.tensor([0, 35])
    expected = layer(query, value=value, reference_points=points, spatial_shapes=shapes, level_start_index=starts)
    offsets = layer.sampling_offsets(query).view(2, 4, 2, 2, 3, 2)
    weights = layer.attention_weights(query).view(2, 4, 2, 6).softmax(-1).view(2, 4, 2, 2, 3)
    where = points[:, :, None, :, None] + offsets / shapes.flip(1)[None, None, None, :, None]
    heads = layer.value_proj(value).view(2, 41, 2, 4)
    out = MultiScaleDeformableAttnFunction.apply(heads, shapes, starts, where, weights, 64)
    layer.eval()
    expected = layer(query, value=value, reference_points=points, spatial_shapes=shapes, level_start_index=starts)
    assert_close(layer.output_proj(out) + query, expected)


@pytest.mark.parametrize("padding", [0, 1, (1, 0)])
def test_masked_conv_equals_convolution_where_the_mask_is_set(padding):
    image, weight, bias = random(1, 3, 6, 7), random(4, 3, 3, 3, seed=1), random(4, seed=2)
    whole = F.conv2d(image, weight, bias, padding=padding)
    mask = torch.rand(1, 6, 7, generator=torch.Generator().manual_seed(3)) > 0.5
    mask[:, whole.shape[2] :], mask[:, :, whole.shape[3] :] = False, False
    chosen = mask[:, None, : whole.shape[2], : whole.shape[3]]
    pad = padding if isinstance(padding, tuple) else (padding, padding)
    assert_close(masked_conv2d(image, mask, weight, bias, pad), whole * chosen)


def test_masked_conv_with_nothing_to_do_is_zero():
    out = masked_conv2d(torch.ones(1, 3, 6, 7), torch.zeros(1, 6, 7), torch.ones(4, 3, 3, 3), torch.ones(4), 1)
    assert_close(out, torch.zeros(1, 4, 6, 7))


def slow_carafe(features, masks, kernel, groups, scale):
    batch, channels, height, width = features.shape
    out = features.new_zeros(batch, channels, height * scale, width * scale)
    for b, c, i, j in torch.cartesian_prod(*(torch.arange(n) for n in out.shape)).tolist():
        group = c // (channels // groups)
        for a in range(kernel):
            for d in range(kernel):
                y, x = i // scale + a - kernel // 2, j // scale + d - kernel // 2
                if 0 <= y < height and 0 <= x < width:
                    out[b, c, i, j] += masks[b, (group * kernel + a) * kernel + d, i, j] * features[b, c, y, x]
    return out


@pytest.mark.parametrize(("kernel", "groups", "scale"), [(3, 1, 2), (5, 2, 1), (1, 2, 3)])
def test_carafe_equals_loop_and_differentiates(kernel: int, groups: int, scale: int):
    features = random(2, 4, 3, 5)
    masks = random(2, groups * kernel**2, 3 * scale, 5 * scale, seed=1)
    expected = slow_carafe(features, masks, kernel, groups, scale)
    assert_close(carafe(features, masks, kernel, groups, scale), expected)
    assert_close(carafe_naive(features, masks, kernel, groups, scale), expected)
    assert_close(CARAFE(kernel, groups, scale)(features, masks), expected)
    leaves = [features[:, :, :2, :3].clone(), masks[:, :, : 2 * scale, : 3 * scale].clone()]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    assert gradcheck(lambda x, m: carafe(x, m, kernel, groups, scale), leaves)


def slow_psa_mask(masks, collect, mask_size):
    batch, _, height, width = masks.shape
    out = masks.new_zeros(batch, height * width, height, width)
    for b, i, j in torch.cartesian_prod(torch.arange(batch), torch.arange(height), torch.arange(width)).tolist():
        for a in range(mask_size[0]):
            for d in range(mask_size[1]):
                y, x = i + a - (mask_size[0] - 1) // 2, j + d - (mask_size[1] - 1) // 2
                if 0 <= y < height and 0 <= x < width:
                    here, there = (y * width + x, (i, j)) if collect else (i * width + j, (y, x))
                    out[b, here, there[0], there[1]] = masks[b, a * mask_size[1] + d, i, j]
    return out


@pytest.mark.parametrize("psa_type", [0, 1])
@pytest.mark.parametrize("mask_size", [(3, 5), (7, 5)])
def test_psa_mask_equals_loop_and_differentiates(psa_type: int, mask_size: tuple[int, int]):
    masks = random(2, math.prod(mask_size), 4, 3)
    assert_close(psa_mask(masks, psa_type, mask_size), slow_psa_mask(masks, psa_type == 0, mask_size))
    assert gradcheck(lambda x: psa_mask(x, psa_type, mask_size), masks.requires_grad_())
