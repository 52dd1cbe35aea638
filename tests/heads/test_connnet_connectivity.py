"""Connectivity against loops over pixels, and properties of its definition: symmetry, flips, lost pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.heads.connnet.connectivity import (
    REDUCTIONS,
    connectivity_components,
    connectivity_to_map,
    mask_to_connectivity,
    offsets_of,
    pair_agreement,
    pair_votes,
    permute_channels,
    shift_to_partner,
)

SIZES = [(1, 1), (1, 7), (6, 1), (2, 2), (9, 14)]
NEIGHBOURS = [8, 4]


def random_mask(height, width, batch=2, classes=None, seed=0):
    draw = torch.Generator().manual_seed(seed)
    shape = (batch, height, width) if classes is None else (batch, classes, height, width)
    return (torch.rand(shape, generator=draw) < 0.5).to(torch.uint8)


def random_cube(height, width, channels=8, seed=0, dtype=torch.float32):
    return torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def pairs(height, width, neighbours):
    """Yield (channel, pixel, neighbour) for every pair inside the image, neighbours row by row as in the paper."""
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    steps = [step for step in steps if neighbours == 8 or 0 in step]
    for channel, (dy, dx) in enumerate(steps):
        for y in range(height):
            for x in range(width):
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    yield channel, (y, x), (y + dy, x + dx)


def cube_by_loop(mask, neighbours, same=lambda a, b: a != 0 and b != 0):
    cube = np.zeros((len(mask), neighbours, *mask.shape[1:]), np.uint8)
    for image, values in zip(cube, mask.tolist()):
        for channel, (y, x), (v, u) in pairs(*mask.shape[1:], neighbours):
            image[channel, y, x] = same(values[y][x], values[v][u])
    return torch.from_numpy(cube)


# --- cube --- ---


def test_the_worked_example():
    cube = mask_to_connectivity(torch.tensor([[[1, 1, 0], [0, 1, 0], [0, 0, 1]]], dtype=torch.uint8))[0]
    places = {tuple(place) for place in cube.nonzero().tolist()}
    assert places == {(0, 1, 1), (0, 2, 2), (1, 1, 1), (3, 0, 1), (4, 0, 0), (6, 0, 1), (7, 0, 0), (7, 1, 1)}
    result = connectivity_to_map((cube[None].float() * 6 - 3).sigmoid())[0, 0]
    salient = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]]).bool()
    torch.testing.assert_close(result[salient], torch.full((4,), 0.907), atol=5e-4, rtol=0)
    torch.testing.assert_close(result[~salient], torch.full((5,), 0.0022), atol=5e-4, rtol=0)


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
@pytest.mark.parametrize("size", SIZES)
def test_cube_by_loop(size, neighbours):
    mask = random_mask(*size)
    assert torch.equal(mask_to_connectivity(mask, neighbours), cube_by_loop(mask, neighbours))
    assert torch.equal(mask_to_connectivity(mask.bool(), neighbours), cube_by_loop(mask, neighbours))
    assert torch.equal(mask_to_connectivity(mask.long() * 255, neighbours), cube_by_loop(mask, neighbours))


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
def test_classes_follow_each_other(neighbours):
    mask = random_mask(5, 8, classes=3)
    apart = [mask_to_connectivity(mask[:, k], neighbours) for k in range(3)]
    assert torch.equal(mask_to_connectivity(mask, neighbours), torch.cat(apart, 1))


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
def test_instances_are_connected_only_to_themselves(neighbours):
    ids = torch.randint(0, 4, (2, 6, 9), generator=torch.Generator().manual_seed(3))
    expected = cube_by_loop(ids, neighbours, same=lambda a, b: a == b != 0)
    assert torch.equal(mask_to_connectivity(ids, neighbours, instance_ids=True), expected)


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
@pytest.mark.parametrize("size", SIZES)
def test_both_ends_agree(size, neighbours):
    cube = mask_to_connectivity(random_mask(*size, classes=2), neighbours)
    assert torch.equal(cube, shift_to_partner(cube, neighbours))


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
@pytest.mark.parametrize(
    ("change", "apply"),
    [
        ("horizontal", lambda x: x.flip(-1)),
        ("vertical", lambda x: x.flip(-2)),
        ("diagonal", lambda x: x.flip(-1, -2)),
        ("transpose", lambda x: x.transpose(-1, -2)),
    ],
)
def test_flips_permute_channels(change, apply, neighbours):
    mask = random_mask(7, 10, classes=2)
    changed = permute_channels(apply(mask_to_connectivity(mask, neighbours)), change, neighbours)
    assert torch.equal(mask_to_connectivity(apply(mask), neighbours), changed)


# --- voting ---


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
@pytest.mark.parametrize("size", SIZES)
def test_votes_by_loop(size, neighbours):
    prob = random_cube(*size, channels=neighbours).double()
    product, mean, partner = torch.zeros_like(prob), torch.zeros_like(prob), torch.zeros_like(prob)
    confirmed = torch.zeros_like(prob, dtype=torch.bool)
    for channel, p, q in pairs(*size, neighbours):
        a, b = prob[(slice(None), channel, *p)], prob[(slice(None), neighbours - 1 - channel, *q)]
        at = (slice(None), channel, *p)
        product[at], mean[at], partner[at] = a * b, (a + b) / 2, b
        confirmed[at] = (a >= 0.5) & (b >= 0.5)
    assert torch.equal(pair_votes(prob, "product", neighbours), product)
    assert torch.equal(pair_votes(prob, "mean", neighbours), mean)
    assert torch.equal(pair_votes(prob, "and", neighbours), confirmed)
    assert torch.equal(pair_votes(prob, "none", neighbours), prob)
    assert torch.equal(shift_to_partner(prob, neighbours), partner)


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_a_perfect_cube_returns_its_mask_without_isolated_pixels(reduce, neighbours):
    mask = random_mask(8, 11)
    lonely = torch.zeros_like(mask, dtype=torch.bool)
    for b, y, x in mask.nonzero().tolist():
        around = [mask[b, v, u] for _, p, (v, u) in pairs(8, 11, neighbours) if p == (y, x)]
        lonely[b, y, x] = not any(around)
    assert lonely.any()
    restored = connectivity_to_map(mask_to_connectivity(mask, neighbours).float(), reduce, neighbours)
    assert torch.equal(restored[:, 0].bool(), mask.bool() & ~lonely)


@pytest.mark.parametrize("size", SIZES)
def test_and_is_product_of_at_least_half_on_a_perfect_cube(size):
    prob = (mask_to_connectivity(random_mask(*size)).float() * 6 - 3).sigmoid()
    assert torch.equal(connectivity_to_map(prob, "and"), connectivity_to_map(prob, "product") >= 0.5)


def test_maps_of_classes():
    prob = random_cube(6, 5, channels=24)
    apart = [connectivity_to_map(prob[:, 8 * k : 8 * k + 8]) for k in range(3)]
    assert torch.equal(connectivity_to_map(prob), torch.cat(apart, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_small_probabilities_survive_half_precision(dtype):
    prob = torch.full((1, 8, 3, 4), 1e-4, dtype=dtype)
    with torch.autocast("cpu", dtype=dtype):
        result = pair_votes(prob)
    assert result.dtype == torch.float32
    assert result[0, 7, 0, 0] == pytest.approx(1e-8, rel=0.02)


@pytest.mark.parametrize("reduce", ["product", "mean", "none"])
def test_gradients(reduce):
    prob = random_cube(3, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: pair_votes(x, reduce), prob)


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
def test_agreement_counts_pairs_inside(neighbours):
    prob = random_cube(6, 7, channels=neighbours)
    agree, count = torch.zeros(2), 0
    for channel, p, q in pairs(6, 7, neighbours):
        count += 1
        agree += (prob[(slice(None), channel, *p)] - prob[(slice(None), neighbours - 1 - channel, *q)]).abs() < 0.5
    torch.testing.assert_close(pair_agreement(prob, neighbours), agree / count)
    assert pair_agreement(mask_to_connectivity(random_mask(6, 7), neighbours).float(), neighbours).tolist() == [1, 1]


def test_nothing_given_is_changed():
    prob, mask = random_cube(5, 6), random_mask(5, 6)
    before = prob.clone(), mask.clone()
    for reduce in REDUCTIONS:
        connectivity_to_map(prob, reduce)
    mask_to_connectivity(mask)
    connectivity_components(prob)
    assert torch.equal(prob, before[0])
    assert torch.equal(mask, before[1])


# --- instances ---


def touching_discs():
    """Return ids (1, H, W) of two discs that share a border, and a third disc far away."""
    y, x = np.mgrid[:24, :40]
    ids = np.zeros((24, 40), np.int64)
    ids[(y - 11) ** 2 + (x - 20) ** 2 < 49] = 2
    ids[(y - 11) ** 2 + (x - 9) ** 2 < 49] = 1
    ids[2:6, 32:38] = 3
    return torch.from_numpy(ids)[None]


def test_confirmed_pairs_part_what_labelling_merges():
    ids = touching_discs()
    cube = mask_to_connectivity(ids, instance_ids=True)
    result = connectivity_components((cube.float() * 6 - 3).sigmoid())
    assert ndimage.label(ids[0].numpy() > 0, np.ones((3, 3)))[1] == 2
    assert result.max() == 3
    for number in (1, 2, 3):
        assert len(result[0, 0][ids[0] == number].unique()) == 1


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
def test_components_of_a_mask_are_those_of_labelling(neighbours):
    mask = random_mask(15, 18, classes=2)
    result = connectivity_components(mask_to_connectivity(mask, neighbours).float(), neighbours=neighbours)
    around = np.ones((3, 3)) if neighbours == 8 else None
    for b in range(2):
        for k in range(2):
            labels, _ = ndimage.label(mask[b, k].numpy(), around)
            areas = np.bincount(labels.ravel())
            labels[areas[labels] == 1] = 0  # isolated pixels have no pair
            kept = [number for number in np.unique(labels) if number]
            expected = np.searchsorted(kept, labels) + 1
            assert np.array_equal(result[b, k].numpy(), np.where(labels > 0, expected, 0))


def test_a_pair_needs_both_ends():
    prob = torch.zeros(1, 8, 1, 2)
    prob[0, 4, 0, 0] = 0.9
    assert not connectivity_components(prob).any()
    prob[0, 3, 0, 1] = 0.6
    assert connectivity_components(prob).tolist() == [[[[1, 1]]]]
    assert not connectivity_components(prob, threshold=0.7).any()


# --- exported programs --- ---


@pytest.mark.parametrize("backend", [pytest.param("eager", marks=pytest.mark.slow), "aot_eager"])
@pytest.mark.parametrize("reduce", ["product", "and"])
def test_compiles(backend, reduce):
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: connectivity_to_map(x, reduce), backend=backend, fullgraph=True)
    for size in ((7, 9), (1, 5)):
        prob = random_cube(*size)
        assert torch.equal(compiled(prob), connectivity_to_map(prob, reduce))


def test_exports():
    class ToMap(torch.nn.Module):
        def forward(self, logits):
            return connectivity_to_map(logits.sigmoid())

    recorded = torch.export.export(ToMap(), (random_cube(6, 9),)).module()
    assert torch.equal(recorded(random_cube(6, 9, seed=1)), ToMap()(random_cube(6, 9, seed=1)))


# --- mistakes ---


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: mask_to_connectivity(torch.rand(1, 4, 5)), DataError, "expected a mask .* found torch.float32"),
        (lambda: mask_to_connectivity(torch.ones(4, 5, dtype=torch.uint8)), DataError, r"found torch.uint8 of shape"),
        (lambda: mask_to_connectivity(random_mask(4, 5), neighbours=6), ConfigError, "8 or 4 neighbours, found 6"),
        (lambda: pair_votes(random_cube(4, 5), "prod"), UnknownName, "did you mean 'product'"),
        (lambda: pair_votes(torch.rand(1, 9, 4, 5)), DataError, r"\(B, 8 \* K, H, W\), found shape \(1, 9, 4, 5\)"),
        (lambda: connectivity_to_map(torch.rand(8, 4, 5)), DataError, r"found shape \(8, 4, 5\)"),
        (lambda: connectivity_components(torch.rand(1, 0, 4, 5)), DataError, "found shape"),
        (lambda: permute_channels(random_cube(4, 5), "horizontl"), UnknownName, "did you mean 'horizontal'"),
        (lambda: offsets_of(5), ConfigError, "found 5"),
    ],
)
def test_mistakes_are_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()
