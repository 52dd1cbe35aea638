"""ConnNet's heads: sizes of the published design, any pyramid, truth and predictions at the right pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.random import RandomState
from scipy import ndimage
from torch.nn import functional as F

from visionzoo.datasets.tiny.saliency import draw_scene
from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.heads.connnet import BinaryMapHead, ConnectivityHead
from visionzoo.heads.connnet.connectivity import connectivity_components, connectivity_to_map, mask_to_connectivity
from visionzoo.heads.connnet.decoder import ASPP, ContextDecoder
from visionzoo.heads.connnet.non_local import NonLocalBlock, convert_non_local
from visionzoo.metrics.connectivity import PairMetric
from visionzoo.models.wiring import build_model
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample

CHANNELS, STRIDES = (8, 16, 32, 64), (4, 8, 16, 32)
HEADS = [ConnectivityHead, BinaryMapHead]


def head_of(kind=ConnectivityHead, **options):
    torch.manual_seed(0)
    return kind(CHANNELS, STRIDES, **{"variant": "tiny", **options}).eval()


def feats_of(height=64, width=96, batch=2):
    draw = torch.Generator().manual_seed(0)
    sizes = [(-(-height // stride), -(-width // stride)) for stride in STRIDES]
    return tuple(torch.randn(batch, c, *size, generator=draw) for c, size in zip(CHANNELS, sizes))


def sample(img_shape, ori_shape=None, pad=(64, 96), truth=None):
    meta = dict(img_path="a.jpg", img_shape=img_shape, ori_shape=ori_shape or img_shape, batch_input_shape=pad)
    item = TaskSample(metainfo=meta)
    if truth is not None:
        item.gt_map = truth
    return item


def truth_of(height, width, classes=None, seed=0):
    shape = (height, width) if classes is None else (classes, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


# --- network --- ---


@pytest.mark.parametrize(("kind", "parameters"), [("ConnectivityHead", 30_579_016), ("BinaryMapHead", 30_578_113)])
@pytest.mark.parametrize("trunk", [dict(type="mmdet.ResNet", depth=50), dict(type="timm.resnet50")])
def test_parameters_of_the_plan(kind, parameters, trunk):
    with torch.device("meta"):
        model = build_model(dict(type="TaskModel", backbone=trunk, head=dict(type=kind)))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_parameters_part_by_part():
    with torch.device("meta"):
        head = ConnectivityHead((256, 512, 1024, 2048), (4, 8, 16, 32))
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in head.decoder.named_children()}
    assert counts == {"relations": 2_101_760, "laterals": 984_064, "outputs": 2_360_320, "streams": 1_623_808}
    assert sum(p.numel() for p in head.predictor.parameters()) == 1_032


@pytest.mark.parametrize("sub_sample", [None, True, False])
@pytest.mark.parametrize("size", [(7, 9), (1, 5), (33, 40)])
def test_non_local_block_is_the_input_at_the_start(size, sub_sample):
    x = torch.randn(2, 6, *size)
    block = NonLocalBlock(6, sub_sample=sub_sample).eval()
    torch.testing.assert_close(block(x), x, atol=1e-6, rtol=0)
    head = head_of(non_local=("c4", "c5"))
    for relation in head.decoder.relations.values():
        assert not relation.out[1].weight.any()


def test_non_local_block_pools_only_large_maps():
    block = NonLocalBlock(4).eval()
    assert block.attention(torch.randn(1, 4, 32, 32)).shape == (1, 1024, 1024)
    assert block.attention(torch.randn(1, 4, 32, 34)).shape == (1, 32 * 34, 16 * 17)
    torch.testing.assert_close(block.attention(torch.randn(1, 4, 3, 5)).sum(-1), torch.ones(1, 15))


@pytest.mark.parametrize("norm", [True, False])
def test_non_local_weights_of_others_load(norm):
    block = NonLocalBlock(6, norm=norm)
    parts = {"out.0.": "W.0." if norm else "W.", "out.1.": "W.1.", "theta.": "theta.", "phi.": "phi.0.", "g.": "g.0."}
    given = {}
    for name, value in block.state_dict().items():
        old = next(part for part in parts if name.startswith(part))
        given[parts[old] + name.removeprefix(old)] = value
    assert convert_non_local(given).keys() == block.state_dict().keys()
    mmcvs = {"theta.conv.weight": 0, "conv_out.conv.bias": 1, "conv_out.bn.running_mean": 2}
    assert list(convert_non_local(mmcvs)) == ["theta.weight", "out.0.bias", "out.1.running_mean"]


@pytest.mark.parametrize(
    ("channels", "strides"),
    [((8,), (32,)), ((8, 8), (16, 16)), ((8, 4, 6), (4, 16, 128)), ((4, 8, 16, 32, 64), (2, 4, 8, 16, 32))],
)
def test_any_pyramid(channels, strides):
    decoder = ContextDecoder(channels, strides, width=6, non_local=("c4", "c5")).eval()
    sizes = [(-(-75 // stride), -(-101 // stride)) for stride in strides]
    output = decoder([torch.randn(2, c, *size) for c, size in zip(channels, sizes)])
    assert output.shape == (2, 6, *sizes[0])
    assert output.isfinite().all()


def test_relations_sit_on_the_nearest_level():
    def levels(*names):
        return sorted(ContextDecoder(CHANNELS, STRIDES, 6, names).relations)

    assert levels() == []
    assert levels("c4") == ["2"]
    assert levels("c4", "c5") == ["2", "3"]
    assert levels("c7", "c5") == ["3"]


def test_context_of_several_dilations_trains_on_a_single_image():
    aspp = ASPP(8, 6).train()
    assert aspp(torch.randn(1, 8, 2, 3)).shape == (1, 6, 2, 3)
    head = head_of(aspp=True).train()
    loss = head.loss(feats_of(batch=1), Batch(samples=[sample((64, 96), truth=truth_of(64, 96))]))["loss_cube"]
    loss.backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


@pytest.mark.parametrize(
    ("kind", "options", "channels"),
    [
        (ConnectivityHead, {}, 8),
        (ConnectivityHead, dict(neighbours=4, num_classes=3), 12),
        (BinaryMapHead, {}, 1),
        (BinaryMapHead, dict(num_classes=3), 3),
    ],
)
def test_logits_have_the_size_of_the_padded_image(kind, options, channels):
    head = head_of(kind, **options)
    assert head(feats_of()).shape == (2, channels, 64, 96)
    assert head(feats_of(), Batch(samples=[sample((61, 90), pad=(61, 93))] * 2)).shape == (2, channels, 61, 93)
    torch.testing.assert_close(head.predictor.bias, torch.full((channels,), -2.2))


# --- truth ---


@pytest.mark.parametrize("kind", HEADS)
def test_loss_counts_grey_above_half_and_padding_as_background(kind):
    head = head_of(kind)
    truths = [truth_of(64, 96), truth_of(50, 71, seed=1)]
    samples = [sample(truth.shape, truth=truth) for truth in truths]
    masks = torch.zeros(2, 1, 64, 96, dtype=torch.uint8)
    masks[0, 0], masks[1, 0, :50, :71] = truths[0] > 127, truths[1] > 127
    logits = head(feats_of(), Batch(samples=samples))
    target = mask_to_connectivity(masks) if kind is ConnectivityHead else masks
    (loss,) = head.loss(feats_of(), Batch(samples=samples)).values()
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits, target.float()))


def test_an_empty_mask_is_learnt_from():
    head = head_of(loss=dict(type="ConnectivityLoss", mode="bicon")).train()
    samples = [sample((64, 96), truth=torch.zeros(64, 96, dtype=torch.uint8))] * 2
    losses = head.loss(feats_of(), Batch(samples=samples))
    assert set(losses) == {"loss_cube", "loss_edge", "loss_vote", "loss_map", "loss_dice"}
    sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


def test_instances_are_separated_where_the_truth_has_ids():
    ids = torch.zeros(64, 96, dtype=torch.uint8)
    ids[10:30, 10:40], ids[10:30, 40:60] = 7, 9
    head, samples = head_of(), [sample((64, 96)) for _ in range(2)]
    for each in samples:
        each.gt_ids = ids
    target = mask_to_connectivity(ids[None].repeat(2, 1, 1), instance_ids=True).float()
    expected = F.binary_cross_entropy_with_logits(head(feats_of(), Batch(samples=samples)), target)
    torch.testing.assert_close(head.loss(feats_of(), Batch(samples=samples))["loss_cube"], expected)
    binary = head_of(BinaryMapHead)
    expected = F.binary_cross_entropy_with_logits(binary(feats_of()), (ids > 0).float().expand(2, 1, -1, -1))
    torch.testing.assert_close(binary.loss(feats_of(), Batch(samples=samples))["loss_map"], expected)


def test_masks_of_classes():
    head = head_of(num_classes=3)
    samples = [sample((64, 96), truth=truth_of(64, 96, classes=3)) for _ in range(2)]
    target = mask_to_connectivity(torch.stack([each.gt_map > 127 for each in samples])).float()
    expected = F.binary_cross_entropy_with_logits(head(feats_of(), Batch(samples=samples)), target)
    torch.testing.assert_close(head.loss(feats_of(), Batch(samples=samples))["loss_cube"], expected)
    assert head.predict(feats_of(), Batch(samples=samples))[1].pred_map.shape == (3, 64, 96)


# --- predictions ---


@pytest.mark.parametrize("pair", ["product", "mean", "none", "and"])
def test_predictions_are_votes_inside_the_image(pair):
    head = head_of(pair=pair)
    torch.nn.init.normal_(head.predictor.weight)
    torch.nn.init.constant_(head.predictor.bias, -head(feats_of()).detach().amax(1).median().item())
    samples = [sample((64, 96)), sample((50, 71))]
    logits = head(feats_of(), Batch(samples=samples))
    predictions = head.predict(feats_of(), Batch(samples=samples))
    for each, (height, width), cube in zip(predictions, ((64, 96), (50, 71)), logits):
        prob = cube[None, :, :height, :width].sigmoid()
        torch.testing.assert_close(each.pred_map, connectivity_to_map(prob, pair)[0, 0].float())
        assert torch.equal(each.pred_mask, connectivity_to_map(prob, "and")[0, 0])
        assert each.pred_map.dtype == torch.float32
        assert each.pred_mask.any() != each.pred_mask.all()


@pytest.mark.parametrize("kind", HEADS)
def test_predictions_come_in_original_pixels(kind):
    head = head_of(kind)
    samples = [sample((60, 90), ori_shape=(123, 181)), sample((64, 96), ori_shape=(31, 47))]
    for each in head.predict(feats_of(), Batch(samples=samples)):
        assert each.pred_map.shape == each.pred_mask.shape == each.metainfo["ori_shape"]
        assert each.pred_mask.dtype == torch.bool
        assert 0 <= each.pred_map.min() <= each.pred_map.max() <= 1


def test_binary_predictions_are_probabilities():
    head = head_of(BinaryMapHead)
    torch.nn.init.zeros_(head.predictor.bias)
    prob = head(feats_of()).sigmoid()
    predictions = head.predict(feats_of(), Batch(samples=[sample((64, 96)), sample((64, 96))]))
    torch.testing.assert_close(predictions[1].pred_map, prob[1, 0])
    assert torch.equal(predictions[1].pred_mask, prob[1, 0] >= 0.5)


class _Fixed(torch.nn.Module):
    """A decoder that returns these logits."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, feats):
        return self.logits


def head_that_says(logits, **options):
    head = head_of(**options)
    head.decoder, head.predictor = _Fixed(logits), torch.nn.Identity()
    return head


def test_instances_are_numbered_and_small_ones_left_out():
    ids = torch.zeros(1, 20, 30, dtype=torch.long)
    ids[0, 2:9, 3:12], ids[0, 2:9, 12:20], ids[0, 15:17, 25:27] = 1, 2, 3
    logits = mask_to_connectivity(ids, instance_ids=True).float() * 6 - 3
    one = [sample((20, 30), pad=(20, 30))]
    (prediction,) = head_that_says(logits, instances=True).predict((), Batch(samples=one))
    assert torch.equal(prediction.pred_ids, ids[0])
    (prediction,) = head_that_says(logits, instances=True, min_area=5).predict((), Batch(samples=one))
    assert torch.equal(prediction.pred_ids, torch.where(ids[0] == 3, 0, ids[0]))
    assert torch.equal(prediction.pred_mask, prediction.pred_ids > 0)
    larger = [sample((20, 30), ori_shape=(40, 60), pad=(20, 30))]
    (prediction,) = head_that_says(logits, instances=True).predict((), Batch(samples=larger))
    assert torch.equal(prediction.pred_ids, ids[0].repeat_interleave(2, 0).repeat_interleave(2, 1))
    (prediction,) = head_that_says(torch.full((1, 8, 20, 30), -3.0), instances=True, min_area=5).predict(
        (), Batch(samples=one)
    )
    assert not prediction.pred_ids.any()


def test_pairs_are_measured_and_averaged():
    mask = torch.zeros(20, 30, dtype=torch.uint8)
    mask[4:12, 5:20] = 255
    right = mask_to_connectivity((mask > 127)[None]).float() * 6 - 3
    wrong = right.clone()
    wrong[:, 0] *= -1  # the other end of each pair of this channel contradicts it
    predictions = []
    for logits, truth in ((right, mask), (wrong, mask), (wrong, None)):
        one = [sample((20, 30), pad=(20, 30), truth=truth)]
        predictions += head_that_says(logits, measure_pairs=True).predict((), Batch(samples=one))
    assert [float(each.pred_pair_agreement) for each in predictions[:1]] == [1]
    assert float(predictions[0].pred_pair_accuracy) == 1
    assert float(predictions[1].pred_pair_accuracy) == pytest.approx(7 / 8)
    inside = 2 * (19 * 30 + 20 * 29 + 2 * 19 * 29)
    assert float(predictions[1].pred_pair_agreement) == pytest.approx(1 - 2 * 19 * 29 / inside)
    metric = PairMetric()
    metric.process(None, [each.to_dict() for each in predictions])
    numbers = metric.evaluate(3)
    assert numbers["pairs/accuracy"] == pytest.approx(15 / 16)
    assert numbers["pairs/agreement"] == pytest.approx((1 + 2 * float(predictions[1].pred_pair_agreement)) / 3)
    with pytest.raises(ConfigError, match="measure_pairs=True"):
        metric.process(None, [sample((4, 4)).to_dict()])


def test_twenty_touching_pairs_come_apart():
    merged = 0
    for seed in range(20):
        _, ids = draw_scene(RandomState(seed), 64, 3)
        cube = mask_to_connectivity(torch.from_numpy(ids)[None], instance_ids=True)
        assert connectivity_components((cube.float() * 6 - 3).sigmoid()).max() == 2
        merged += ndimage.label(ids > 0, np.ones((3, 3)))[1] == 1
    assert merged == 20


# --- exported programs --- ---


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_predictions_under_autocast(dtype):
    head = head_of()
    with torch.autocast("cpu", dtype=dtype):
        (prediction, _) = head.predict(feats_of(), Batch(samples=[sample((64, 96)), sample((64, 96))]))
    (expected, _) = head.predict(feats_of(), Batch(samples=[sample((64, 96)), sample((64, 96))]))
    assert prediction.pred_map.dtype == torch.float32
    torch.testing.assert_close(prediction.pred_map, expected.pred_map, atol=5e-3, rtol=0)


class _ToMap(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, *feats):
        return connectivity_to_map(self.head(feats).sigmoid())


@pytest.mark.parametrize("backend", [pytest.param("eager", marks=pytest.mark.slow), "aot_eager"])
def test_compiled_maps_are_the_same(backend):
    torch._dynamo.reset()
    whole = _ToMap(head_of())
    with torch.no_grad():
        outputs = torch.compile(whole, backend=backend, fullgraph=True)(*feats_of())
        torch.testing.assert_close(outputs, whole(*feats_of()))


def test_exported_maps_are_the_same():
    whole = _ToMap(head_of())
    recorded = torch.export.export(whole, feats_of()).module()
    with torch.no_grad():
        torch.testing.assert_close(recorded(*feats_of()), whole(*feats_of()))


# --- mistakes ---


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: head_of(variant="tny"), UnknownName, "did you mean 'tiny'"),
        (lambda: head_of(neighbours=6), ConfigError, "8 or 4"),
        (lambda: head_of(pair="produkt"), UnknownName, "did you mean 'product'"),
        (lambda: head_of(num_classes=0), ConfigError, "num_classes: expected a whole number from 1"),
        (lambda: head_of(width=0), ConfigError, "width: expected a whole number from 1"),
        (lambda: head_of(loss="bicon"), ConfigError, "loss: expected a dict or None, found 'bicon'"),
        (lambda: head_of(min_area=-1), ConfigError, "min_area: expected a whole number of at least 0"),
        (lambda: head_of(non_local=("p4",)), ConfigError, "found 'p4'"),
        (lambda: head_of(loss=dict(type="ConnectivityLoss", mode="bikon")), UnknownName, "did you mean 'bicon'"),
        (lambda: ConnectivityHead((8, 16), (4,)), ConfigError, "as many in_strides as in_channels"),
    ],
)
def test_settings_that_cannot_be(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([sample((64, 96))] * 2, "a.jpg: expected gt_map to learn from"),
        ([sample((64, 96), truth=truth_of(64, 95))] * 2, r"expected gt_map of \(1, 64, 96\).* found \(1, 64, 95\)"),
        ([sample((64, 96), truth=truth_of(64, 96, classes=2))] * 2, r"found \(2, 64, 96\)"),
        ([sample((64, 96), truth=truth_of(64, 96))], "2 images in 1 samples"),
    ],
)
def test_samples_that_cannot_be(samples, words):
    with pytest.raises(DataError, match=words):
        head_of().loss(feats_of(), Batch(samples=samples))
