"""Proposals from instance segmenters of the zoo: sizes, sharing between phrases, what is refused."""

import pytest
import torch
from mmengine.structures import InstanceData
from torch import nn

from visionzoo.errors import ConfigError, DataError
from visionzoo.models.wiring import build_model
from visionzoo.providers import segmenter as module
from visionzoo.providers.segmenter import ZooSegmenter
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample

SIZE, IMAGE, FILE = (64, 96), (60, 90), (30, 90)


class Pixels(nn.Module):
    """Part of a model that returns five levels of its inputs at stride 16."""

    def forward(self, inputs):
        return (nn.functional.avg_pool2d(inputs, 16),) * 5


class Bright(nn.Module):
    """A segmenter that finds the bright pixels, once, and a second object with a low score; it counts its images."""

    with_neck = False

    def __init__(self):
        super().__init__()
        self.backbone, self.images = Pixels(), []
        self.weight = nn.Parameter(torch.zeros(1))

    def data_preprocessor(self, data, training):
        assert not training
        assert not self.training
        return {"inputs": torch.stack(data["inputs"]).float(), "data_samples": data["data_samples"]}

    def forward(self, inputs, data_samples, mode):
        assert not torch.is_grad_enabled()
        self.images += list(inputs)
        self.backbone(inputs)
        for image, sample in zip(inputs, data_samples):
            bright = nn.functional.interpolate(image[None, :1], sample.ori_shape)[0, 0] > 128
            rows, columns = torch.nonzero(bright, as_tuple=True)
            box = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
            sample.pred_instances = InstanceData(
                bboxes=box.repeat(3, 1),
                masks=bright.repeat(3, 1, 1),
                labels=torch.tensor([0, 1, 2]),
                scores=torch.tensor([0.2, 0.04, 0.9]),
            )
        return data_samples


@pytest.fixture
def bright(monkeypatch):
    built = Bright()
    monkeypatch.setattr(module, "ready_model", lambda *_, **__: built.eval())
    return built


def batch_of(*images, names=None, one_image=False):
    """Return a batch of images with a bright square; images of equal ``names`` are one image."""
    pixels = torch.zeros(1 if one_image else len(images), 3, *SIZE)
    for image, left in zip(pixels, images):
        image[:, 20:40, left : left + 10] = 1
    samples = []
    for number, _ in enumerate(images):
        name = None if names is None else names[number]
        info = dict(img_shape=IMAGE, ori_shape=FILE, batch_input_shape=SIZE, shared_image=name)
        samples.append(TaskSample(metainfo=info))
    return Batch(pixels, samples, unnormalised=lambda inputs: inputs * 200)


def provider(**settings):
    return ZooSegmenter("rcnet_mask_rcnn", "none", tiny=True, **settings)


def test_objects_are_in_pixels_of_the_input_and_the_segmenter_sees_the_shape_of_the_file(bright):
    found, other = provider()(batch_of(10, 70))
    assert found.masks.shape == (2, *IMAGE)
    assert (found.labels.tolist(), found.scores.tolist()) == ([2, 0], pytest.approx([0.9, 0.2]))
    assert (found.boxes[0] - torch.tensor([10.0, 20, 20, 40])).abs().max() <= 2
    assert (other.boxes[0] - torch.tensor([70.0, 20, 80, 40])).abs().max() <= 2
    height, width = bright.images[0].shape[1:]
    assert (width, height) == (208, 69)  # 90x30 in the 208x168 of the tiny test images
    assert bright.images[0].max() == 200


def test_best_objects_and_their_features(bright):
    made = provider(most=1, score_threshold=0.01)
    (found,) = made(batch_of(10))
    assert found.labels.tolist() == [2]
    assert not found.features.requires_grad
    assert len(provider(score_threshold=0.95)(batch_of(10))[0].boxes) == 0
    without = provider(features=False)
    assert (without.feature_channels, "features" in without(batch_of(10))[0]) == (0, False)


def test_one_image_with_several_phrases_is_segmented_once(bright):
    made = provider()
    first, second, third = made(batch_of(10, 50, 10, names=["a", "b", "a"]))
    assert len(bright.images) == 2
    assert first is third
    assert not torch.equal(first.boxes, second.boxes)
    alone = made(batch_of(10, 10, one_image=True))
    assert len(bright.images) == 3
    assert torch.equal(alone[1].boxes, first.boxes)
    made(batch_of(10, names=["another name"]))  # the next batch has the same pixels
    assert len(bright.images) == 3
    made(batch_of(50, names=["another name"]))
    assert len(bright.images) == 4


def test_the_model_does_not_contain_the_segmenter(bright):
    model = build_model(
        dict(
            type="TaskModel",
            data_preprocessor=dict(type="TaskPreprocessor", mean=[10.0] * 3, std=[5.0] * 3, pad_size_divisor=32),
            text_encoder=dict(type="GRUTextEncoder", variant="tiny"),
            backbone=dict(type="LAVTSwin", variant="tiny"),
            head=dict(
                type="WiCoHead",
                variant="tiny",
                provider=dict(type="ZooSegmenter", model="rcnet_mask_rcnn", weights="none", tiny=True, features=False),
            ),
        )
    )
    assert model.head.top_down.num_labels == 80
    inputs = [torch.zeros(3, 60, 90, dtype=torch.uint8)]
    inputs[0][:, 20:40, 10:20] = 200
    samples = [TaskSample(metainfo=dict(phrase="box", img_shape=IMAGE, ori_shape=FILE)) for _ in range(2)]
    for sample in samples:
        sample.gt_map = torch.zeros(IMAGE)
    data = model.data_preprocessor({"inputs": inputs * 2, "data_samples": samples})
    sum(model(**data, mode="loss").values()).backward()
    assert bright.images[0].max() == 200  # as before the normalisation
    assert bright.weight.grad is None
    model.eval()
    assert len(model(**data, mode="predict")[0].pred_proposal_scores) == 2
    model.train()
    assert bright.training is False
    assert not any("provider" in name or "segmenter" in name for name in model.state_dict())


def test_what_is_refused():
    with pytest.raises(ConfigError, match="expected an instance segmenter, found rcnet_retinanet, a model for det"):
        ZooSegmenter("rcnet_retinanet")
    with pytest.raises(ConfigError, match=r"weights of rcnet_mask_rcnn, found none; train it with `visionzoo train"):
        ZooSegmenter("rcnet_mask_rcnn", tiny=True)(batch_of(10))
    with pytest.raises(DataError, match="images for proposals, found none"):
        provider()(Batch(samples=[TaskSample()]))
    with pytest.raises(ConfigError, match="score_threshold"):
        provider(score_threshold=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rcnet_mask_rcnn", "dinat_mask_rcnn_coco", "connnet_mask_rcnn"])
def test_all_instance_segmenters_give_proposals(name):
    made = ZooSegmenter(name, "none", tiny=True, score_threshold=0.0, most=5)
    found, other = made(batch_of(10, 60))
    assert found.masks.shape == (5, *IMAGE)
    assert found.features.shape == (5, made.feature_channels)
    again = ZooSegmenter(name, "none", tiny=True, score_threshold=0.0, most=5)(batch_of(10, 60))
    assert torch.equal(other.boxes, again[1].boxes)
