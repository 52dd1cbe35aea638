"""Augmentations: what they keep, their equality with timm's and torchvision's, and reproducibility by seed."""

import numpy as np
import pytest
from PIL import Image
from timm.data import create_transform

from visionzoo.engine.seeding import SampleKey, SeededDataset, seed_everything
from visionzoo.errors import ConfigError
from visionzoo.registry import TRANSFORMS

ALL = [
    dict(type="RandomResizedCrop", size=24),
    dict(type="ResizeCrop", size=24),
    dict(type="PaddedRandomCrop", size=(37, 61)),
    dict(type="HorizontalFlip"),
    dict(type="ColorJitter", hue=0.1),
    dict(type="RandAugment", size=48),
    dict(type="AutoAugment", size=48),
    dict(type="RandomErasing", prob=1.0),
    dict(type="Cutout"),
]
RANDOM = [step for step in ALL if step["type"] != "ResizeCrop"]


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 256, (10, 16, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))[:37, :61]


def apply(step, image, seed=0):
    seed_everything(seed)
    return TRANSFORMS.build(dict(step))(dict(img=image.copy(), img_shape=image.shape[:2]))


@pytest.mark.parametrize("step", ALL, ids=lambda step: step["type"])
def test_the_output_is_an_image_with_its_shape(step, image):
    results = apply(step, image)
    assert results["img"].dtype == np.uint8
    assert results["img"].shape[2] == 3
    assert results["img_shape"] == results["img"].shape[:2]
    assert step["type"] in repr(TRANSFORMS.build(dict(step)))


@pytest.mark.parametrize("step", RANDOM, ids=lambda step: step["type"])
def test_a_seed_fixes_it_and_seeds_differ(step, image):
    runs = [apply(step, image, seed)["img"] for seed in range(12)]
    for seed, run in enumerate(runs):
        np.testing.assert_array_equal(run, apply(step, image, seed)["img"])
    assert len({run.tobytes() for run in runs}) > 1


class Images:
    """A data set of one image, through a built pipeline."""

    def __init__(self, image):
        self.image, self.steps = image, [TRANSFORMS.build(dict(step)) for step in RANDOM]

    def __len__(self):
        return 1

    def __getitem__(self, index):
        results = dict(img=self.image.copy(), img_shape=self.image.shape[:2])
        for step in self.steps:
            results = step(results)
        return results["img"]


def test_the_engines_seeding_of_samples_reaches_every_library(image):
    seeded = SeededDataset(Images(image), seed=5)
    first = [seeded[SampleKey(0, 0, turn)] for turn in range(3)]
    again = [seeded[SampleKey(0, 0, turn)] for turn in (2, 1, 0)][::-1]
    for one, other in zip(first, again):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize(("size", "crop_pct"), [(32, 0.875), (24, 0.911), (36, 1.0)])
def test_measuring_sees_timms_pixels(size, crop_pct, image):
    expected = create_transform(size, crop_pct=crop_pct, interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1))
    pixels = (expected(Image.fromarray(image)).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    np.testing.assert_array_equal(apply(dict(type="ResizeCrop", size=size, crop_pct=crop_pct), image)["img"], pixels)


def test_nasnets_edge_replaces_the_share(image):
    step = dict(type="ResizeCrop", size=331, edge=354)
    assert apply(step, image)["img"].shape == (331, 331, 3)
    with pytest.raises(ConfigError, match="at least size=331"):
        TRANSFORMS.build({**step, "edge": 300})


def test_erasing_leaves_the_rest_and_noise_has_the_datas_mean():
    grey = np.full((96, 128, 3), 7, np.uint8)
    erased = apply(dict(type="RandomErasing", prob=1.0, min_area=0.3), grey)["img"]
    changed = (erased != 7).any(2)
    assert 0.25 < changed.mean() < 0.4
    rows, columns = np.nonzero(changed)
    inside = erased[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    np.testing.assert_allclose(inside.mean((0, 1)), (123.7, 116.3, 103.5), atol=4)
    np.testing.assert_allclose(inside.std((0, 1)), (58, 57, 57), atol=5)
    assert apply(dict(type="RandomErasing", prob=0.0), grey)["img"].tobytes() == grey.tobytes()


def test_cutout_covers_one_square():
    white = np.full((32, 32, 3), 255, np.uint8)
    covered = [int((apply(dict(type="Cutout", size=16), white, seed)["img"] == 0).all(2).sum()) for seed in range(30)]
    assert max(covered) <= 256
    assert min(covered) >= 64  # a quarter of the square, at a corner
    assert len(set(covered)) > 5


def test_padding_moves_by_four_pixels_at_most():
    white = np.full((32, 32, 3), 255, np.uint8)
    seen = {apply(dict(type="PaddedRandomCrop", size=32), white, seed)["img"].all(2).any(1).sum() for seed in range(40)}
    assert min(seen) == 28
    assert max(seen) == 32


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (dict(type="RandAugment", policy="round-m9"), "policy: expected a policy of timm"),
        (dict(type="AutoAugment", policy="v99"), "policy: expected a policy of timm"),
        (dict(type="RandomErasing", mode="black"), "pixel, rand or const"),
        (dict(type="ResizeCrop", size=8, crop_pct=1.2), r"crop_pct: expected a number above 0 and of at most 1"),
        (dict(type="RandomResizedCrop", size=8, interpolation="cubic"), "nearest, bilinear, bicubic, lanczos"),
    ],
)
def test_wrong_arguments(step, what):
    with pytest.raises(ConfigError, match=what):
        TRANSFORMS.build(step)
