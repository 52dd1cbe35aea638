"""Several heads on one trunk: joint losses, predictions by head, and samples that belong to one task."""

from __future__ import annotations

import pytest
import torch

from visionzoo.errors import ConfigError, DataError
from visionzoo.models.several_heads import samples_by_head, selected
from visionzoo.models.wiring import build_model, fill_model
from visionzoo.structures.batch import Batch, TextStates
from visionzoo.structures.task_sample import TaskSample

BACKBONE = dict(type="BossNet", variant="tiny")
HEADS = dict(animal=dict(type="ClassificationHead"), place=dict(type="ClassificationHead", num_classes=5, in_index=1))


def several(**changes):
    model = dict(type="TaskModel", data_preprocessor=dict(type="TaskPreprocessor"), backbone=BACKBONE, heads=HEADS)
    return build_model({**model, **changes}, num_classes=3)


def single(head, weights, name):
    model = build_model(dict(type="TaskModel", backbone=BACKBONE, head=head), num_classes=head.get("num_classes", 3))
    own = {key.replace(f"heads.{name}.", "head."): value for key, value in weights.items()}
    model.load_state_dict({key: value for key, value in own.items() if not key.startswith("heads.")})
    return model


def samples_of(*labels, **meta):
    samples = [TaskSample(metainfo=dict(meta)) for _ in labels]
    for sample, label in zip(samples, labels, strict=True):
        sample.gt_label = torch.tensor(label)
    return samples


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return several()


def images(count):
    return torch.rand(count, 3, 48, 33, generator=torch.Generator().manual_seed(1))


def test_every_head_is_wired_to_the_trunk(model):
    assert {name: head.fc.in_features for name, head in model.heads.items()} == {"animal": 256, "place": 64}
    assert {name: head.num_classes for name, head in model.heads.items()} == {"animal": 3, "place": 5}


def test_joint_losses_and_gradients_are_the_sums_of_single_models(model):
    inputs, labels = images(4), (0, 2, 1, 1)
    model.train().zero_grad()
    losses = model(inputs, samples_of(*labels), mode="loss")
    assert set(losses) == {"animal.loss_cls", "place.loss_cls"}
    sum(losses.values()).backward()
    gradients = []
    for name, head in HEADS.items():
        one = single(head, model.state_dict(), name).train()
        loss = one(inputs, samples_of(*labels), mode="loss")["loss_cls"]
        torch.testing.assert_close(losses[f"{name}.loss_cls"], loss)
        loss.backward()
        gradients.append({key: parameter.grad for key, parameter in one.backbone.named_parameters()})
    assert gradients[0].keys() == dict(model.backbone.named_parameters()).keys()
    for key, parameter in model.backbone.named_parameters():
        parts = [gradient[key] for gradient in gradients if gradient[key] is not None]
        torch.testing.assert_close(parameter.grad, sum(parts), rtol=1e-4, atol=1e-6)


def test_one_forward_pass_of_the_trunk_serves_all_heads(model):
    calls = []
    handle = model.backbone.register_forward_hook(lambda *_: calls.append(1))
    model.eval()(images(2), samples_of(0, 1), mode="predict")
    handle.remove()
    assert len(calls) == 1


def test_a_prediction_has_one_field_per_head(model):
    inputs, samples = images(2), samples_of(0, 1, img_path="a.png")
    predictions = model.eval()(inputs, samples, mode="predict")
    assert all("pred_score" not in sample for sample in [*samples, *predictions])
    assert [sample.img_path for sample in predictions] == ["a.png"] * 2
    for name, head in HEADS.items():
        one = single(head, model.state_dict(), name).eval()
        expected = one(inputs, samples_of(0, 1), mode="predict")
        for prediction, alone in zip(predictions, expected, strict=True):
            torch.testing.assert_close(prediction.get(name).pred_score, alone.pred_score)


def test_a_sample_that_names_its_task_trains_only_its_head(model):
    model.train().zero_grad()
    losses = model(images(2), samples_of(0, 1, task="place"), mode="loss")
    assert set(losses) == {"place.loss_cls"}
    losses["place.loss_cls"].backward()
    assert model.heads["animal"].fc.weight.grad is None
    assert model.heads["place"].fc.weight.grad.abs().sum() > 0


def test_a_mixed_batch_gives_each_head_its_own_samples(model):
    model.eval()
    inputs = images(5)
    samples = [
        *samples_of(0, task="animal"),
        *samples_of(4, 3, task="place"),
        *samples_of(1),
        *samples_of(2, task="animal"),
    ]
    losses = model(inputs, samples, mode="loss")
    for name, rows in {"animal": [0, 3, 4], "place": [1, 2, 3]}.items():
        part = [samples_of(int(samples[row].gt_label), task=name)[0] for row in rows]
        torch.testing.assert_close(
            losses[f"{name}.loss_cls"], model(inputs[rows], part, mode="loss")[f"{name}.loss_cls"]
        )
    predictions = model(inputs, samples, mode="predict")
    assert [sample.pred_score.shape[0] if "pred_score" in sample else None for sample in predictions] == [
        3,
        5,
        5,
        None,
        3,
    ]
    assert predictions[3].animal.pred_score.shape == (3,)
    assert predictions[3].place.pred_score.shape == (5,)


def test_groups_stay_whole_where_a_batch_is_divided():
    samples = [TaskSample(metainfo=dict(group_size=size)) for size in (2, 1, 3)]
    batch = Batch(
        torch.arange(6.0).view(6, 1, 1, 1), samples, text=TextStates(torch.arange(3.0).view(3, 1, 1), torch.ones(3, 1))
    )
    feats, part = selected((batch.inputs * 10,), batch, [0, 2])
    assert feats[0].flatten().tolist() == [0, 10, 30, 40, 50]
    assert part.inputs.flatten().tolist() == [0, 1, 3, 4, 5]
    assert part.text.states.flatten().tolist() == [0, 2]
    assert part.samples == [samples[0], samples[2]]


class Encoding(torch.nn.Module):
    """A head that encodes its own images again."""

    def forward(self, feats, batch):
        return batch.encode(batch.inputs)[0].flatten(1).mean(1) - feats[0].flatten(1).mean(1)

    def loss(self, feats, batch):
        return {"loss": self(feats, batch).abs().sum()}


def test_a_head_may_encode_the_images_of_its_part_of_a_batch():
    model = several(heads=dict(animal=dict(type=Encoding), place=HEADS["place"])).eval()
    samples = [*samples_of(0, task="animal"), *samples_of(4, task="place"), *samples_of(2, task="animal")]
    torch.testing.assert_close(model(images(3), samples, mode="loss")["animal.loss"], torch.tensor(0.0))


def test_auxiliary_heads_add_losses_beside_several_heads():
    model = several(auxiliary_head=dict(type="ClassificationHead", in_index=1))
    losses = model(images(2), samples_of(0, 1), mode="loss")
    assert set(losses) == {"animal.loss_cls", "place.loss_cls", "aux.loss_cls"}


def test_a_task_without_a_head_is_named(model):
    with pytest.raises(DataError, match=r"^b\.png: expected a task among the heads animal, place, found 'lanes'; "):
        model(images(1), samples_of(0, task="lanes", img_path="b.png"), mode="loss")
    assert samples_by_head(["a"], []) == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (dict(head=dict(type="ClassificationHead")), "expected either head or heads, found both"),
        (dict(heads=None), "expected either head or heads, found neither"),
        (dict(heads={}), "heads: expected a dict"),
        (dict(heads=[dict(type="ClassificationHead")]), "heads: expected a dict"),
        (dict(heads={"a.b": dict(type="ClassificationHead")}), "names that are Python identifiers, found 'a.b'"),
        (dict(heads={"keys": dict(type="ClassificationHead")}), "not attributes of ModuleDict, found 'keys'"),
        (dict(test_cfg=dict(tile=64)), "expected a head that returns a dense map"),
    ],
)
def test_wrong_heads_are_refused(changes, expected):
    with pytest.raises(ConfigError, match=expected):
        several(**changes)


def test_a_stated_number_of_classes_stays():
    model = fill_model(dict(type="TaskModel", backbone=BACKBONE, heads=HEADS), num_classes=7)
    assert {name: head.num_classes for name, head in model.heads.items()} == {"animal": 7, "place": 5}
