"""Contract of every backbone, neck and head, from any library."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from math import ceil, floor

import pytest
import torch
from contract_subjects import Subject, fast_subjects, own, slow_subjects, tensors_of

from visionzoo.errors import ZooError

ODD, EVEN = (75, 101), (64, 128)

# Exceptions, each with its reason. Every exception is tested: a part that meets the contract must not be listed.

# Parts whose maps exceed fp16's range before any training.
NO_FP16: dict[str, str] = {
    "timm.mobileone_s0": "its parallel branches double the random start in every block, to 1e15",
}

# Parts that torch.export cannot record.
NO_EXPORT: dict[str, str] = {
    "DirectRegistrationHead": "takes steps as long as the similarity of a pair rises",
}

# Parameters without a gradient, by the prefix of their names, and the reason.
NO_GRADIENT: dict[str, tuple[str, str]] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "subject" in metafunc.fixturenames:
        fast = [pytest.param(subject, id=subject.name) for subject in fast_subjects()]
        slow = [pytest.param(subject, id=subject.name, marks=pytest.mark.slow) for subject in slow_subjects()]
        metafunc.parametrize("subject", fast + slow, scope="module")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("size", [ODD, EVEN])
def test_returns_what_it_declares(subject: Subject, size: tuple[int, int]) -> None:
    """Channels match, and strides match when rounded up or down where they do not divide the image."""
    with torch.no_grad():
        feats = tensors_of(subject.part(subject.inputs(size)))
    assert all(feat.shape[0] == 2 and feat.isfinite().all() for feat in feats)
    if subject.kind == "head":
        return
    levels = subject.levels()
    assert tuple(feat.shape[1] for feat in feats) == levels.channels
    for feat, stride in zip(feats, levels.strides, strict=True):
        for side, cells in zip(subject.sides(size), feat.shape[2:], strict=True):
            assert floor(side / stride) <= cells <= ceil(side / stride)


def test_every_parameter_learns(subject: Subject) -> None:
    part = subject.part
    if not list(part.parameters()):
        return
    part.train()
    sum(feat.square().mean() for feat in tensors_of(part(subject.inputs(ODD)))).backward()
    without = [name for name, value in part.named_parameters() if value.requires_grad and value.grad is None]
    expected, _ = NO_GRADIENT.get(subject.name, ("", ""))
    assert bool(without) == bool(expected)
    assert all(name.startswith(expected) for name in without)


def test_an_image_does_not_depend_on_its_neighbours(subject: Subject) -> None:
    both = subject.inputs(ODD)
    alone = tuple(x[1:] for x in both) if isinstance(both, tuple) else both[1:]
    with torch.no_grad():
        pairs = zip(tensors_of(subject.part(both)), tensors_of(subject.part(alone)), strict=True)
        for whole, single in pairs:
            torch.testing.assert_close(whole[1:], single, rtol=1e-3, atol=1e-4 * float(single.abs().max()))


def test_weights_make_the_round_trip(subject: Subject) -> None:
    """Weights load strictly, from a file without code, into another instance with different weights."""
    stored, other = io.BytesIO(), subject.build()
    torch.save(subject.part.state_dict(), stored)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    stored.seek(0)
    other.load_state_dict(torch.load(stored, weights_only=True))
    other.eval()
    inputs = subject.inputs(ODD, batch=1)
    with torch.no_grad():
        pairs = zip(tensors_of(subject.part(inputs)), tensors_of(other(inputs)), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_autocast_is_finite(subject: Subject, dtype: torch.dtype) -> None:
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        feats = tensors_of(subject.part(subject.inputs(ODD, batch=1)))
    overflows = dtype == torch.float16 and subject.name in NO_FP16
    assert all(feat.isfinite().all() for feat in feats) != overflows


def test_exports_or_has_a_reason(subject: Subject) -> None:
    if subject.name in NO_EXPORT:
        with pytest.raises(Exception):  # noqa: B017, PT011 (any message of torch; the reason above is for readers)
            torch.export.export(subject.part, (subject.inputs(EVEN),))
        return
    recorded = torch.export.export(copy.deepcopy(subject.part), (subject.inputs(EVEN),)).module()
    with torch.no_grad():
        inputs = subject.inputs(EVEN)
        for a, b in zip(tensors_of(recorded(inputs)), tensors_of(subject.part(inputs)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", own("backbones"))
def test_images_of_other_channels_are_refused(name: str, channels: int) -> None:
    subject = next(subject for subject in fast_subjects() if subject.name == name)
    with pytest.raises((RuntimeError, ZooError), match=rf"{subject.channels} channels.*{channels}"):
        subject.part(torch.zeros(2, channels, *subject.sides(EVEN)))


@pytest.mark.parametrize("folder", ["backbones", "necks", "heads"])
def test_ours_have_a_tiny_variant_and_declare_their_outputs(folder: str) -> None:
    for name, cls in own(folder).items():
        assert "tiny" in cls.VARIANTS, name
    subjects = [subject for subject in fast_subjects() if subject.name in own(folder) and subject.kind != "head"]
    for subject in subjects:
        assert isinstance(subject.part.out_channels, tuple), subject.name
        assert len(subject.part.out_channels) == len(subject.part.out_strides), subject.name


def test_reasons_are_of_parts_that_exist() -> None:
    known = {subject.name for subject in [*fast_subjects(), *slow_subjects()]}
    for exceptions in (NO_FP16, NO_EXPORT, NO_GRADIENT):
        assert set(exceptions) <= known
        assert all(exceptions.values())
