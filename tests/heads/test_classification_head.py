"""The head of classifiers: losses by hand, soft labels, and labels out of range."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.heads.classification import ClassificationHead
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample


def samples_of(labels, scores=None):
    samples = [TaskSample(metainfo={"img_path": f"{i}.png"}) for i in range(len(labels))]
    for i, label in enumerate(labels):
        samples[i].gt_label = torch.tensor(label)
        if scores is not None:
            samples[i].gt_score = scores[i]
    return samples


@pytest.fixture
def feats():
    draw = torch.Generator().manual_seed(0)
    return tuple(torch.randn(3, channels, 5, 7, generator=draw) for channels in (4, 8))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs(feats, smoothing):
    head = ClassificationHead(8, 5, label_smoothing=smoothing)
    logits = head.fc(feats[1].mean((2, 3)))
    expected = F.cross_entropy(logits, torch.tensor([0, 4, 2]), label_smoothing=smoothing)
    torch.testing.assert_close(head.loss(feats, Batch(samples=samples_of([0, 4, 2])))["loss_cls"], expected)


def test_binary_cross_entropy_treats_each_class_separately(feats):
    head = ClassificationHead(8, 5, loss="binary_cross_entropy", loss_weight=2.0).eval()
    logits = head(feats)
    expected = 2 * F.binary_cross_entropy_with_logits(logits, F.one_hot(torch.tensor([1, 1, 3]), 5).float())
    torch.testing.assert_close(head.loss(feats, Batch(samples=samples_of([1, 1, 3])))["loss_cls"], expected)
    torch.testing.assert_close(
        head.predict(feats, Batch(samples=samples_of([0, 0, 0])))[1].pred_score, logits[1].sigmoid()
    )


def test_soft_labels_win(feats):
    head = ClassificationHead(8, 5, label_smoothing=0.1)
    soft = torch.rand(3, 5).softmax(1)
    expected = F.cross_entropy(head(feats), soft)
    torch.testing.assert_close(head.loss(feats, Batch(samples=samples_of([0, 1, 2], soft)))["loss_cls"], expected)


def test_reads_the_selected_map(feats):
    assert torch.equal((head := ClassificationHead(4, 5, in_index=0).eval())(feats), head.fc(feats[0].mean((2, 3))))


def test_predictions_are_probabilities(feats):
    head = ClassificationHead(8, 5).eval()
    for sample, logits in zip(head.predict(feats, Batch(samples=samples_of([0, 1, 2]))), head(feats)):
        torch.testing.assert_close(sample.pred_score, logits.softmax(0))
        assert int(sample.pred_label) == int(logits.argmax())


def test_a_background_is_never_predicted(feats):
    head = ClassificationHead(8, 5, background_class=True).eval()
    with torch.no_grad():
        head.fc.bias[0] = 100
    for sample in head.predict(feats, Batch(samples=samples_of([1, 1, 1]))):
        assert sample.pred_score[0] == 0
        assert int(sample.pred_label) != 0
        assert float(sample.pred_score.sum()) == pytest.approx(1)


@pytest.mark.parametrize("label", [-1, 5])
def test_a_label_that_does_not_exist_is_named(feats, label):
    with pytest.raises(DataError, match=rf"^2\.png: expected a label from 0 to 4, found {label}"):
        ClassificationHead(8, 5).loss(feats, Batch(samples=samples_of([0, 1, label])))


class Conv(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, feat):
        return self.conv(feat).amax((2, 3))


def test_another_classifier_takes_its_place(feats):
    head = ClassificationHead(8, 5, classifier=dict(type=Conv))
    assert torch.equal(head(feats), head.classifier(feats[1]))
    assert not hasattr(head, "fc")


def test_starts_small():
    head = ClassificationHead(512, 10)
    head.init_weights()
    assert float(head.fc.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert float(head.fc.bias.detach().abs().max()) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "expected"),
    [
        (dict(num_classes=0), ConfigError, "num_classes"),
        (dict(dropout=1.0), ConfigError, "dropout"),
        (dict(label_smoothing=-0.1), ConfigError, "label_smoothing"),
        (dict(loss="cross_entrpy"), UnknownName, "did you mean 'cross_entropy'"),
        (dict(variant="huge"), UnknownName, "variant"),
    ],
)
def test_wrong_settings_are_refused(arguments, error, expected):
    with pytest.raises(error, match=expected):
        ClassificationHead(8, **{"num_classes": 5, **arguments})
