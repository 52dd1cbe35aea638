"""The general task model: one image per sample, groups, pairs and phrases, all described by the data sample."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from visionzoo.errors import ConfigError, DataError
from visionzoo.models.preprocessing import TaskPreprocessor
from visionzoo.models.task_model import TaskModel
from visionzoo.models.wiring import build_model, fill_model
from visionzoo.registry import MODELS
from visionzoo.structures.batch import Batch, TextStates
from visionzoo.structures.task_sample import TaskSample, group_sizes, mean_of_groups, split_groups

MEAN, STD = [120.0, 110.0, 100.0], [60.0, 50.0, 40.0]


def image(height, width, channels=3, seed=0, count=None):
    shape = (channels, height, width) if count is None else (count, channels, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def sample(label=0, **meta):
    item = TaskSample(metainfo=meta)
    item.gt_label = torch.tensor(label)
    return item


def classifier(**changes):
    model = dict(
        type="TaskModel",
        data_preprocessor=dict(type="TaskPreprocessor", mean=MEAN, std=STD),
        backbone=dict(type="BossNet", variant="tiny"),
        head=dict(type="ClassificationHead"),
    )
    return build_model({**model, **changes}, num_classes=4)


# --- preprocessor --- ---


def test_normalises_and_pads_after_it():
    prepare = TaskPreprocessor(MEAN, STD, pad_size_divisor=16, pad_value=7.0)
    small, large = image(30, 41), image(33, 20, seed=1)
    done = prepare({"inputs": [small, large], "data_samples": [sample(), sample()]})
    batch, samples = done["inputs"], done["data_samples"]
    assert batch.shape == (2, 3, 48, 48)
    expected = (small.float() - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(batch[0, :, :30, :41], expected)
    assert bool((batch[0, :, 30:] == 7).all())
    assert bool((batch[0, :, :, 41:] == 7).all())
    assert [s.img_shape for s in samples] == [(30, 41), (33, 20)]
    assert all(s.batch_input_shape == (48, 48) and s.group_size == 1 for s in samples)
    assert [s.pad_shape for s in samples] == [(32, 48), (48, 32)]


def test_groups_follow_each_other_on_the_batch_axis():
    prepare = TaskPreprocessor()
    samples = [sample(group_size=3), sample(), sample(group_size=2)]
    inputs = [image(8, 10, count=3), image(9, 7), image(8, 10, count=2, seed=5)]
    done = prepare({"inputs": inputs, "data_samples": samples})
    batch, samples = done["inputs"], done["data_samples"]
    assert batch.shape == (6, 3, 9, 10)
    assert group_sizes(samples) == [3, 1, 2]
    parts = split_groups(batch, samples)
    torch.testing.assert_close(parts[2][:, :, :8], inputs[2].float())
    torch.testing.assert_close(mean_of_groups(batch, samples)[0], parts[0].mean(0))


def test_groups_may_become_channels():
    prepare = TaskPreprocessor(MEAN, STD, groups="channels")
    samples = [sample(group_size=2), sample(group_size=2)]
    pairs = [image(8, 10, count=2, seed=seed) for seed in range(2)]
    with pytest.raises(DataError, match="3 channels"):  # mean and std are for the joined channels
        prepare({"inputs": pairs, "data_samples": samples})
    joined = TaskPreprocessor(MEAN * 2, STD * 2, groups="channels")({"inputs": pairs, "data_samples": samples})
    assert joined["inputs"].shape == (2, 6, 8, 10)
    assert group_sizes(joined["data_samples"]) == [1, 1]


def test_volumes_have_three_sides():
    prepare = TaskPreprocessor(pad_size_divisor=4, groups="channels")
    pair = torch.rand(2, 1, 5, 6, 7)
    done = prepare({"inputs": [pair], "data_samples": [sample(group_size=2)]})
    assert done["inputs"].shape == (1, 2, 8, 8, 8)
    assert done["data_samples"][0].img_shape == (5, 6, 7)


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels_are_refused_by_name(channels):
    prepare = TaskPreprocessor(MEAN, STD)
    with pytest.raises(DataError, match=rf"^cat\.png: expected an image of 3 channels.*found {channels};"):
        prepare({"inputs": [image(8, 8, channels)], "data_samples": [sample(img_path="cat.png")]})
    with pytest.raises(DataError, match="image 0 of the batch"):
        prepare({"inputs": [image(8, 8, channels)]})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (dict(mean=MEAN), "mean and std"),
        (dict(mean=MEAN, std=[1.0]), "equal length"),
        (dict(mean=MEAN, std=[1.0, 0.0, 1.0]), "above 0"),
        (dict(groups="rows"), "batch, channels"),
        (dict(pad_size_divisor=0), "pad_size_divisor: expected a whole number from 1"),
    ],
)
def test_wrong_settings_are_refused(arguments, expected):
    with pytest.raises(ConfigError, match=expected):
        TaskPreprocessor(**arguments)


def test_batches_are_mixed_in_training_only():
    model = fill_model(
        dict(
            type="TaskModel",
            data_preprocessor=dict(type="TaskPreprocessor", batch_augments=dict(type="MixupCutmix")),
            backbone=dict(type="BossNet", variant="tiny"),
            head=dict(type="ClassificationHead"),
        ),
        num_classes=4,
    )
    assert model.data_preprocessor.batch_augments.num_classes == 4
    with DefaultScope.overwrite_default_scope("visionzoo"):
        prepare = MODELS.build(model.data_preprocessor)
    data = {"inputs": [image(8, 8), image(8, 8, seed=1)], "data_samples": [sample(1), sample(2)]}
    assert "gt_score" not in prepare(data)["data_samples"][0]
    assert prepare(data, training=True)["data_samples"][0].gt_score.shape == (4,)


def test_mixing_for_another_number_of_classes_is_refused():
    augment = dict(type="MixupCutmix", num_classes=7)
    with pytest.raises(ConfigError, match="head's 4 classes, found 7"):
        classifier(data_preprocessor=dict(type="TaskPreprocessor", batch_augments=augment))


# --- model --- ---


def test_three_modes():
    model = classifier()
    data = {"inputs": [image(40, 60), image(64, 33, seed=1)], "data_samples": [sample(1), sample(3)]}
    prepared = model.data_preprocessor(data, True)
    assert model(**prepared, mode="tensor").shape == (2, 4)
    losses = model(**prepared, mode="loss")
    assert set(losses) == {"loss_cls"}
    losses["loss_cls"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    predictions = model.eval()(**prepared, mode="predict")
    assert [s.pred_score.shape for s in predictions] == [(4,), (4,)]
    with pytest.raises(ConfigError, match="tensor, loss, predict, found 'train'"):
        model(**prepared, mode="train")


def test_auxiliary_heads_add_losses_in_training_only():
    aux = dict(type="ClassificationHead", in_index=1, loss_weight=0.4)
    model = classifier(auxiliary_head=[aux, {**aux, "in_index": 2}])
    assert [head.fc.in_features for head in model.auxiliary_head] == [64, 128]
    prepared = model.data_preprocessor({"inputs": [image(64, 32)] * 2, "data_samples": [sample(1), sample(3)]}, True)
    assert set(model(**prepared, mode="loss")) == {"loss_cls", "aux_0.loss_cls", "aux_1.loss_cls"}
    single = classifier(auxiliary_head=aux)
    assert set(single(**prepared, mode="loss")) == {"loss_cls", "aux.loss_cls"}


def test_a_neck_is_between_backbone_and_head():
    model = classifier(neck=dict(type="mmdet.FPN", out_channels=16, num_outs=4))
    assert model.with_neck
    assert model.head.fc.in_features == 16
    assert model(torch.rand(2, 3, 64, 96)).shape == (2, 4)


def test_views_of_one_thing_count_together():
    model = classifier().eval()
    views = image(40, 48, count=3)
    together = model.test_step({"inputs": [views], "data_samples": [sample(group_size=3)]})[0].pred_score
    logits = model(model.data_preprocessor({"inputs": list(views)})["inputs"])
    torch.testing.assert_close(together, logits.mean(0).softmax(0))


class Phrased(nn.Module):
    """A backbone that scales its one map by the length of the sample's phrase."""

    out_channels, out_strides = (3,), (1,)

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs, batch):
        lengths = torch.tensor([len(sample.phrase) for sample in batch.samples], dtype=torch.float32)
        return inputs * self.scale * lengths.view(-1, 1, 1, 1)


def test_a_part_may_read_the_batch():
    model = TaskModel(backbone=dict(type=Phrased), head=dict(type="ClassificationHead", in_channels=3, num_classes=2))
    inputs = torch.ones(2, 3, 4, 4)
    feats = model.extract_feat(inputs, [sample(phrase="dog"), sample(phrase="the left cat")])
    assert isinstance(feats, tuple)
    assert feats[0][:, 0, 0, 0].tolist() == [3, 12]


class SecondLook(nn.Module):
    """A head that encodes the images again, with twice the brightness."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, feats, batch):
        self.seen.append((batch.inputs, batch.encode(2 * batch.inputs)))
        return feats[0].mean()

    def loss(self, feats, batch):
        return {"loss": self(feats, batch)}

    def predict(self, feats, batch):
        self(feats, batch)
        return batch.samples


@pytest.mark.parametrize("mode", ["tensor", "loss", "predict"])
def test_a_head_may_read_the_images_and_encode_others(mode):
    model = TaskModel(backbone=dict(type=Phrased), head=dict(type=SecondLook), auxiliary_head=dict(type=SecondLook))
    inputs, samples = torch.rand(2, 3, 4, 4), [sample(phrase="dog"), sample(phrase="cats")]
    outputs = model(inputs, samples, mode=mode)
    seen, (again,) = model.head.seen[0]
    assert seen is inputs
    torch.testing.assert_close(again, 2 * model.extract_feat(inputs, samples)[0])
    assert len(model.auxiliary_head[0].seen) == (mode == "loss")
    assert mode != "loss" or set(outputs) == {"loss", "aux.loss"}


class FormerLook(SecondLook):
    """The same with the signature from before ``Batch``."""

    def forward(self, feats, samples, *, inputs, encode):
        self.seen.append((inputs, encode(2 * inputs)))
        return feats[0].mean()

    def loss(self, feats, samples, *, inputs, encode):
        return {"loss": self(feats, samples, inputs=inputs, encode=encode)}

    def predict(self, feats, samples, *, inputs, encode):
        self(feats, samples, inputs=inputs, encode=encode)
        return samples


@pytest.mark.parametrize("mode", ["tensor", "loss", "predict"])
def test_a_head_of_the_former_signature_works_with_one_warning(mode):
    with pytest.warns(DeprecationWarning, match=r"FormerLook\.forward\(feats, batch\)") as caught:
        model = TaskModel(backbone=dict(type=Phrased), head=dict(type=FormerLook), auxiliary_head=dict(type=FormerLook))
    assert len(caught) == 1
    inputs, samples = torch.rand(2, 3, 4, 4), [sample(phrase="dog"), sample(phrase="cats")]
    model(inputs, samples, mode=mode)
    seen, (again,) = model.head.seen[0]
    assert seen is inputs
    torch.testing.assert_close(again, 2 * model.extract_feat(inputs, samples)[0])


class Letters(nn.Module):
    """A toy text encoder: one token of one channel per letter."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, phrases):
        self.calls += 1
        mask = torch.zeros(len(phrases), max(map(len, phrases)), dtype=torch.bool)
        for row, phrase in zip(mask, phrases, strict=True):
            row[: len(phrase)] = True
        return TextStates(mask[..., None].float(), mask)


class Reads(SecondLook):
    def forward(self, feats, batch):
        batch.encode(batch.inputs)
        return batch.text.states.sum((1, 2))


class ReadsSamples(Letters):
    """A text encoder that also receives the batch."""

    def forward(self, phrases, batch):
        self.samples = batch.samples
        return super().forward(phrases)


def test_a_text_encoder_receives_the_batch_if_it_has_a_parameter_for_it():
    model = TaskModel(backbone=dict(type=Phrased), head=dict(type=Reads), text_encoder=dict(type=ReadsSamples))
    samples = [sample(phrase="dog", phrase_ids=[1, 2]), sample(phrase="the cat", phrase_ids=[1])]
    model(torch.rand(2, 3, 4, 4), samples)
    assert model.text_encoder.samples is samples


def test_phrases_are_encoded_once_a_batch():
    model = TaskModel(backbone=dict(type=Phrased), head=dict(type=Reads), text_encoder=dict(type=Letters))
    samples = [sample(phrase="dog"), sample(phrase="the cat")]
    assert model(torch.rand(2, 3, 4, 4), samples).tolist() == [3, 7]
    assert model.text_encoder.calls == 1
    with pytest.raises(DataError, match=r"expected a phrase in every sample .* found 1 of 2 samples without one"):
        model(torch.rand(2, 3, 4, 4), [sample(phrase="dog"), sample()])
    with pytest.raises(DataError, match=r"expected a phrase in every sample .* found no samples"):
        model(torch.rand(1, 3, 4, 4))


class Counts(nn.Module):
    """A toy backbone without language that counts the images it receives."""

    out_channels, out_strides = (3,), (1,)

    def __init__(self):
        super().__init__()
        self.images = []

    def forward(self, x):
        self.images.append(len(x))
        return (x,)


class Writes(SecondLook):
    def predict(self, feats, batch):
        for each, feat, state in zip(batch.samples, feats[0], batch.text.states, strict=True):
            each.pred_value = feat.sum() + state.sum()
        return batch.samples


def test_phrases_of_one_image_share_its_features():
    model = TaskModel(backbone=dict(type=Counts), head=dict(type=Writes), text_encoder=dict(type=Letters))
    phrases, names = ("dog", "a cat", "owl", "cow"), ("a", "b", "a", None)
    samples = [sample(phrase=text, shared_image=name) for text, name in zip(phrases, names, strict=True)]
    images = torch.arange(4.0)[:, None, None, None].expand(4, 3, 1, 1) * torch.tensor([1, 1, 0, 1]).view(4, 1, 1, 1)
    found = model(images, samples, mode="predict")
    assert model.backbone.images == [1, 1, 1]
    assert [each.phrase for each in found] == list(phrases)
    assert [each.pred_value.item() for each in found] == [3, 8, 3, 12]


def test_a_list_of_heads_is_refused():
    with pytest.raises(ConfigError, match=r"TaskModel\.head: expected a dict"):
        TaskModel(backbone=dict(type=Phrased), head=[dict(type=Reads)])


def test_pairs_by_name():
    inputs = torch.arange(4.0).view(4, 1, 1, 1)
    samples = [sample(group_size=2), sample(group_size=2, pair=("moving", "fixed"))]
    pairs = Batch(inputs, samples).pairs()
    assert pairs.fixed.flatten().tolist() == [0, 3]
    assert pairs.moving.flatten().tolist() == [1, 2]
    joined = Batch(inputs.view(2, 2, 1, 1), [sample(), sample(pair=("moving", "fixed"))]).pairs()
    assert all(torch.equal(a, b) for a, b in zip(joined, pairs, strict=True))
    with pytest.raises(DataError, match=r"two images in every sample, found images .* with group sizes \[3, 1\]"):
        Batch(inputs, [sample(group_size=3), sample()]).pairs()
    with pytest.raises(DataError, match=r"^batch: expected fixed and moving in pair, found \['a', 'b'\]"):
        Batch(inputs, [sample(group_size=2, pair=("a", "b"))] * 2).pairs()
    missing = {"samples": Batch(inputs), "images": Batch(None, samples), "images and samples": Batch()}
    for absent, batch in missing.items():
        with pytest.raises(DataError, match=f"but {absent} are missing"):
            batch.pairs()
