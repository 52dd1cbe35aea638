"""Deformable convolution equals torchvision's, and the definition where it is ambiguous."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor
from torch.autograd import gradcheck

from visionzoo.ops.deform_conv import deform_conv2d

# batch, channels, output channels, height, width, offset groups, kernel, stride, padding, dilation
GEOMETRIES = [
    (2, 8, 6, 7, 5, 2, (3, 3), 1, 1, 1),
    (3, 4, 4, 9, 6, 1, (3, 3), 2, 2, 2),
    (1, 6, 5, 1, 1, 3, (3, 3), 1, 1, 1),
    (2, 4, 3, 8, 16, 2, (1, 5), 1, 0, 1),
]


def make_inputs(geometry: tuple, moved: float, *, masked: bool = True) -> tuple[dict[str, Tensor], dict[str, int]]:
    batch, channels, outs, height, width, groups, kernel, stride, padding, dilation = geometry
    torch.manual_seed(0)
    size = [(side + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for side, k in zip((height, width), kernel)]
    positions = groups * kernel[0] * kernel[1]
    tensors = {
        "x": torch.randn(batch, channels, height, width),
        "offset": moved * torch.randn(batch, 2 * positions, *size),
        "weight": torch.randn(outs, channels, *kernel),
        "bias": torch.randn(outs),
    }
    if masked:
        tensors["mask"] = torch.rand(batch, positions, *size)
    tensors = {name: tensor.double().requires_grad_() for name, tensor in tensors.items()}
    return tensors, {"stride": stride, "padding": padding, "dilation": dilation}


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("moved", [0.0, 0.7, 30.0])
@pytest.mark.parametrize("masked", [True, False])
def test_equals_torchvision(geometry: tuple, moved: float, masked: bool) -> None:
    """Outputs and all gradients are equal; at unmoved positions, the gradient of an offset has two candidates."""
    tensors, settings = make_inputs(geometry, moved, masked=masked)
    output = deform_conv2d(**tensors, **settings)
    expected = torchvision.ops.deform_conv2d(
        tensors["x"], tensors["offset"], tensors["weight"], tensors["bias"], mask=tensors.get("mask"), **settings
    )
    torch.testing.assert_close(output, expected)
    cotangent, inputs = torch.randn_like(output), list(tensors.values())
    gradients = (torch.autograd.grad((out * cotangent).sum(), inputs) for out in (output, expected))
    for name, a, b in zip(tensors, *gradients):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}")


def test_reading_in_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk has a few rows of positions; the last chunk is shorter."""
    tensors, settings = make_inputs((2, 2, 2, 9, 9, 2, (3, 3), 1, 1, 1), 0.7)
    whole = deform_conv2d(**tensors, **settings)
    few_rows = 4 * tensors["weight"][0].numel() * whole.shape[-1]
    monkeypatch.setattr("visionzoo.ops.deform_conv._CHUNK", few_rows)
    chunked, cotangent, inputs = deform_conv2d(**tensors, **settings), torch.randn_like(whole), list(tensors.values())
    torch.testing.assert_close(chunked, whole)
    by_chunks = torch.autograd.grad((chunked * cotangent).sum(), inputs)
    monkeypatch.undo()
    for a, b in zip(by_chunks, torch.autograd.grad((whole * cotangent).sum(), inputs)):
        torch.testing.assert_close(a, b)


def test_float32_chooses_the_same_side_at_unmoved_positions() -> None:
    """Rounding must not choose the side; therefore image sides are not powers of two."""
    torch.manual_seed(0)
    x, offset = torch.randn(2, 4, 37, 53), torch.zeros(2, 18, 37, 53, requires_grad=True)
    weight, cotangent = torch.randn(3, 4, 3, 3), torch.randn(2, 3, 37, 53)
    output = deform_conv2d(x, offset, weight, padding=1)
    expected = torchvision.ops.deform_conv2d(x, offset, weight, padding=1)
    a, b = (torch.autograd.grad((out * cotangent).sum(), offset)[0] for out in (output, expected))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert b.abs().max() > 1


def test_gradients_are_those_of_the_output() -> None:
    tensors, settings = make_inputs(GEOMETRIES[0], 0.3)
    assert gradcheck(lambda *values: deform_conv2d(**dict(zip(tensors, values)), **settings), tuple(tensors.values()))


def test_unmoved_and_unmasked_it_is_a_convolution() -> None:
    tensors, settings = make_inputs(GEOMETRIES[0], 0.0, masked=False)
    plain = torch.nn.functional.conv2d(tensors["x"], tensors["weight"], tensors["bias"], **settings)
    torch.testing.assert_close(deform_conv2d(**tensors, **settings), plain)


def test_works_where_numbers_are_not_known() -> None:
    tensors, settings = make_inputs(GEOMETRIES[0], 0.0)
    out = deform_conv2d(**{name: tensor.detach().to("meta") for name, tensor in tensors.items()}, **settings)
    assert tuple(out.shape) == (2, 6, 7, 5)
