"""Images and their views."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from bossnas_toys import random_images

from visionzoo.algorithms.bossnas.views import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ListedImages,
    ViewPairs,
    batches_of,
    cifar_images,
    cifar_sides,
    epoch_order,
    imagenet_sides,
    seeded,
)
from visionzoo.errors import ConfigError, DataError


@pytest.fixture
def listed(tmp_path: Path) -> tuple[Path, Path]:
    """Return eight images in two class folders, and their list."""
    lines = []
    for number, image in enumerate(random_images(8, 64)):
        name = f"n{number % 2}/image {number}.png"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), image[..., ::-1])
        lines.append(f"{name} {number % 2}")
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    return tmp_path, tmp_path / "train.txt"


def test_listed_images_are_read(listed: tuple[Path, Path]) -> None:
    images = ListedImages(*listed)
    assert len(images) == 8
    for image, drawn in zip((images[i] for i in range(8)), random_images(8, 64)):
        assert np.array_equal(image, drawn)


def test_labels_may_be_left_out(listed: tuple[Path, Path]) -> None:
    root, file = listed
    file.write_text("n0/image 0.png\n\nn1/image 1.png\n")
    assert ListedImages(root, file).names == ["n0/image 0.png", "n1/image 1.png"]


def test_without_a_list_every_image_is_used(
    listed: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root, _ = listed
    assert ListedImages(root).names == sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    with pytest.raises(DataError, match=r"expected a folder with images \(.*\) at any depth, found none"):
        ListedImages(root / "n2")


def test_cifar_is_read_from_its_files() -> None:
    images = cifar_images("tiny://cifar100?train=100&val=50&seed=0", "cifar100", train=False)
    assert (images.shape, images.dtype) == ((50, 32, 32, 3), np.uint8)


def test_missing_lists_and_images_are_named(listed: tuple[Path, Path]) -> None:
    root, file = listed
    with pytest.raises(DataError, match=r"none\.txt: expected a list of images"):
        ListedImages(root, root / "none.txt")
    file.write_text("\n")
    with pytest.raises(DataError, match="found none"):
        ListedImages(root, file)
    file.write_text("n0/lost.png 0\n")
    with pytest.raises(DataError, match=r"lost\.png"):
        ListedImages(root, file)[0]
    with pytest.raises(DataError, match=r"expected the files batches\.meta"):
        cifar_images(root, "cifar10", train=True)


def test_views_are_normalised_and_follow_from_their_key() -> None:
    images = random_images(2, 80)
    pairs = ViewPairs(images, imagenet_sides(32), 2, (0, "train", 0))
    before = torch.random.get_rng_state()
    views = pairs[1]
    assert torch.equal(before, torch.random.get_rng_state())
    assert (views.shape, views.dtype) == ((4, 3, 32, 32), torch.float32)
    torch.manual_seed(9)
    assert torch.equal(pairs[1], views)
    assert not torch.equal(views[0], views[1])
    assert not torch.equal(ViewPairs(images, imagenet_sides(32), 2, (0, "train", 1))[1], views)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    assert ((views * std + mean) > -1e-5).all()
    assert ((views * std + mean) < 1 + 1e-5).all()


def test_side_b_is_blurred_and_side_a_seldom() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    views = ViewPairs([noise], imagenet_sides(64), 60, (0,))[0]
    rough = views.diff(dim=-1).abs().mean((1, 2, 3)).view(2, 60).median(1).values
    assert rough[0] > 2 * rough[1]


def test_cifar_views_are_shifted_and_flipped() -> None:
    image = random_images(1, 32)[0]
    views = ViewPairs([image], cifar_sides(), 3, (0,))[0]
    assert views.shape == (6, 3, 32, 32)
    assert not torch.equal(views[0], views[1])


def test_batches_are_whole_and_in_order() -> None:
    pairs = ViewPairs(random_images(7, 40), cifar_sides(), 1, (0,))
    whole = list(batches_of(pairs, [6, 1, 3, 0, 2], 2, drop_last=True))
    assert [len(batch) for batch in whole] == [2, 2]
    assert torch.equal(whole[1], torch.stack([pairs[3], pairs[0]]))
    assert [len(batch) for batch in batches_of(pairs, range(7), 3, drop_last=False)] == [3, 3, 1]
    apart = list(batches_of(pairs, [6, 1, 3, 0], 2, drop_last=True, workers=1))
    assert all(torch.equal(one, other) for one, other in zip(whole, apart, strict=True))


def test_processes_share_an_epoch_without_overlap() -> None:
    shares = [epoch_order(23, 4, 2, rank, seeded(0, "train", 1)) for rank in (0, 1)]
    assert [len(share) for share in shares] == [8, 8]
    assert len({*shares[0], *shares[1]}) == 16
    assert shares[0] != epoch_order(23, 4, 2, 0, seeded(0, "train", 2))
    with pytest.raises(ConfigError, match="expected at most 3 for 6 images and 2 processes, found 4"):
        epoch_order(6, 4, 2, 0, seeded(0))


def test_broken_image_in_a_worker_is_one_error(listed: tuple[Path, Path]) -> None:
    root, _ = listed
    images = ListedImages(root, None)
    sorted(root.rglob("*.png"))[3].write_bytes(b"text")
    pairs = ViewPairs(images, imagenet_sides(32), 1, ("a",))
    with pytest.raises(DataError, match="expected an image"):
        list(batches_of(pairs, range(len(images)), 2, drop_last=False, workers=1))
