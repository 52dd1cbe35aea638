"""Mixup and CutMix: images and labels equal timm's, for any batch size."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from timm.data.mixup import Mixup

from visionzoo.errors import ConfigError
from visionzoo.models.mixing import MixupCutmix
from visionzoo.registry import MODELS


def batch(count):
    images = torch.rand(count, 3, 12, 17, generator=torch.Generator().manual_seed(1))
    return images, [SimpleNamespace(gt_label=torch.tensor([index % 5])) for index in range(count)]


@pytest.mark.parametrize("seed", range(4))
def test_images_and_labels_are_timms(seed):
    images, samples = batch(6)
    given = images.clone()
    np.random.seed(seed)
    mixed, samples = MODELS.build(dict(type="MixupCutmix", num_classes=5))(images, samples)
    np.random.seed(seed)
    expected, scores = Mixup(0.8, 1.0, label_smoothing=0.1, num_classes=5)(images.clone(), torch.arange(6) % 5)
    torch.testing.assert_close(mixed, expected)
    torch.testing.assert_close(torch.stack([sample.gt_score for sample in samples]), scores)
    torch.testing.assert_close(images, given)
    assert not torch.equal(mixed, given)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_the_last_of_an_odd_batch_stays(count):
    np.random.seed(0)
    images, samples = batch(count)
    mixed, samples = MixupCutmix(5, label_smoothing=0.2)(images, samples)
    torch.testing.assert_close(mixed[-1], images[-1])
    expected = torch.full((5,), 0.04)
    expected[(count - 1) % 5] = 0.84
    torch.testing.assert_close(samples[-1].gt_score, expected)
    assert all(float(sample.gt_score.sum()) == pytest.approx(1) for sample in samples)


def test_the_share_of_each_label_is_that_of_its_pixels():
    np.random.seed(3)
    images = torch.stack([torch.zeros(3, 20, 30), torch.ones(3, 20, 30)])
    samples = [SimpleNamespace(gt_label=0), SimpleNamespace(gt_label=1)]
    mixed, samples = MixupCutmix(2, mixup_alpha=0, label_smoothing=0)(images, samples)
    assert float(samples[0].gt_score[1]) == pytest.approx(float(mixed[0].mean()), abs=1e-6)
    assert 0 < float(mixed[0].mean()) < 1
    assert set(mixed.unique().tolist()) == {0.0, 1.0}


def test_without_alphas_labels_are_only_smoothed():
    images, samples = batch(4)
    mixed, samples = MixupCutmix(5, mixup_alpha=0, cutmix_alpha=0)(images, samples)
    assert torch.equal(mixed, images)
    assert float(samples[0].gt_score[0]) == pytest.approx(0.92)


def test_wrong_shares():
    with pytest.raises(ConfigError, match=r"prob: expected a number from 0 to 1, found 1.5"):
        MixupCutmix(5, prob=1.5)
