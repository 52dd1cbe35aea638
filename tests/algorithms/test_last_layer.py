"""Last-layer retraining: the disparity falls by two thirds, and nothing but the copy of the last layer changes."""

import numpy as np
import pytest
import torch
from torch import nn

from visionzoo.algorithms.last_layer import LinearHead, retrain_head, share_of, training_labels
from visionzoo.errors import DataError
from visionzoo.metrics.geo_shift import best_worst, correct_at, groups_of, top_k

CLASSES, CHANNELS = 6, 24


class Net(nn.Module):
    """A frozen backbone with batch norm, and a linear classifier."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(CHANNELS, CHANNELS), nn.BatchNorm1d(CHANNELS), nn.ReLU())
        self.fc = nn.Linear(CHANNELS, CLASSES)

    def forward(self, x):
        return self.fc(self.backbone(x))


def images(rng, count, region, centres, shift):
    """Return inputs of one region: a centre of each class, the same shift of all classes, and noise."""
    labels = rng.integers(CLASSES, size=count)
    inputs = centres[labels] + (shift[labels] if region == "b" else 0) + 0.4 * rng.standard_normal((count, CHANNELS))
    return inputs.astype(np.float32), labels


@pytest.fixture(scope="module")
def scene():
    """Train the head on region a only, and return features, labels and the network."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    centres, shift = rng.standard_normal((2, CLASSES, CHANNELS))
    net = Net().train()
    net(torch.randn(64, CHANNELS))
    net.eval()
    parts = {
        (split, region): images(rng, 600, region, centres, 1.3 * shift)
        for split in ("train", "test")
        for region in ("a", "b")
    }
    with torch.no_grad():
        features = {key: net.backbone(torch.from_numpy(inputs)).numpy() for key, (inputs, _) in parts.items()}
    labels = {key: each for key, (_, each) in parts.items()}
    return net, features, labels


def disparity(head, features, labels):
    scores = np.concatenate([head.logits(features["test", region]) for region in ("a", "b")])
    truth = np.concatenate([labels["test", region] for region in ("a", "b")])[:, None]
    groups = groups_of(correct_at(top_k(scores, 1), truth)[:, 0], ["a"] * 600 + ["b"] * 600)
    return best_worst(groups).value


def test_retraining_on_balanced_features_lowers_the_disparity_by_two_thirds(scene):
    net, features, labels = scene
    before = {name: value.clone() for name, value in net.state_dict().items()}
    start = LinearHead.of(net.fc)
    head = retrain_head(start, features["train", "a"], labels["train", "a"], lr=0.01)
    biased = disparity(head, features, labels)
    assert biased >= 0.2
    inputs = np.concatenate([features["train", region] for region in ("a", "b")])
    targets = np.concatenate([labels["train", region] for region in ("a", "b")])
    for seed in (0, 1, 2):
        fair = disparity(retrain_head(head, inputs, targets, seed=seed, lr=0.01), features, labels)
        assert fair <= biased / 3
    after = net.state_dict()
    assert "backbone.1.running_var" in after
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_equal_seeds_give_equal_heads_and_the_start_is_kept(scene):
    net, features, labels = scene
    start = LinearHead.of(net.fc)
    kept = start.weight.copy(), start.bias.copy()
    first, again, other = (
        retrain_head(start, features["train", "b"], labels["train", "b"], seed=seed, epochs=2, batch_size=100)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first.weight, again.weight)
    assert not np.array_equal(first.weight, other.weight)
    assert np.array_equal(start.weight, kept[0])
    assert np.array_equal(start.bias, kept[1])
    assert np.array_equal(retrain_head(start, features["train", "b"], labels["train", "b"], epochs=0).bias, kept[1])


def test_logits_equal_those_of_the_layer(scene):
    net, features, _ = scene
    part = features["test", "a"]
    expected = net.fc(torch.from_numpy(part)).detach().numpy()
    assert np.allclose(LinearHead.of(net.fc).logits(part), expected, atol=1e-5)
    assert np.array_equal(LinearHead.of(nn.Linear(3, 2, bias=False)).bias, [0, 0])


def test_images_with_several_labels_are_trained_on_the_second():
    assert training_labels([[5], [5, 2], [5, 2, 9]]).tolist() == [5, 2, 2]


def test_shares_are_nested_and_seeded():
    small, large = share_of(100, 0.1, 3), share_of(100, 0.5, 3)
    assert (len(small), len(large)) == (10, 50)
    assert set(small) < set(large)
    assert not np.array_equal(small, share_of(100, 0.1, 4))
    assert len(share_of(3, 0.01, 0)) == 1
    with pytest.raises(DataError, match="at most 1"):
        share_of(10, 1.5, 0)


def test_labels_outside_the_head_are_an_error():
    head = LinearHead(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(DataError, match="labels from 0 to 1, found labels from 0 to 2"):
        retrain_head(head, np.zeros((2, 3)), np.array([0, 2]))
    with pytest.raises(DataError, match="found no image"):
        retrain_head(head, np.zeros((0, 3)), np.zeros(0, int))
