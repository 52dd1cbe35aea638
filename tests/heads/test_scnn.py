"""SCNN's head: the authors' sizes, losses by hand, predictions in the original image, batches, other backbones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.heads.scnn import SCNNHead
from visionzoo.heads.scnn.parts import ExistenceBranch
from visionzoo.models.wiring import build_model
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample

# Parameters of the authors' network by image size, and of its existence branch.
COUNTS = {(288, 800): (20_742_217, 576_644), (288, 512): (20_534_857, 369_284), (360, 640): (20_729_417, 563_844)}
VGG = dict(type="VGG", variant="16_bn", large_field=True, out_indices=(4,))


def authors_model(size):
    with torch.device("meta"):
        return build_model(dict(type="TaskModel", backbone=VGG, head=dict(type="SCNNHead", input_size=size)))


def count(part):
    return sum(value.numel() for value in part.parameters())


def tiny_head(in_channels=8, in_strides=(8,), **options):
    torch.manual_seed(0)
    return SCNNHead(in_channels, in_strides, "tiny", **{"input_size": (64, 96), **options}).eval()


def feats_of(batch=3, size=(8, 12), channels=8):
    return (torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1)),)


def sample_of(shape=(64, 96), ori_shape=None, **truth):
    shapes = dict(img_shape=shape, batch_input_shape=(64, 96), ori_shape=ori_shape or shape)
    sample = TaskSample(metainfo=dict(img_path="roads/1.jpg", **shapes))
    sample.set_data(truth)
    return sample


# --- sizes ---


@pytest.mark.parametrize("size", COUNTS)
def test_has_the_authors_parameters(size):
    model = authors_model(size)
    head = model.head
    parts = (model.backbone, head.reducer, head.messages, head.classifier, head.existence)
    assert tuple(map(count, parts)) == (14_723_136, 4_851_968, 589_824, 645, COUNTS[size][1])
    assert count(model) == COUNTS[size][0]


def test_has_the_authors_arithmetic():
    model, counter = authors_model((288, 800)).eval(), FlopCounterMode(display=False)
    with counter, torch.no_grad():
        logits, exist = model(torch.zeros(1, 3, 288, 800, device="meta"))
    assert (tuple(logits.shape), tuple(exist.shape)) == ((1, 5, 288, 800), (1, 4))
    assert counter.get_total_flops() == pytest.approx(218.2e9, rel=2e-3)


@pytest.mark.parametrize("size", [(64, 96), (72, 104), (75, 101), (33, 140)])
def test_images_of_other_sizes(size):
    """Sizes that differ from the built one and are not multiples of 16 or 8."""
    height, width = (side // 8 for side in size)
    logits, exist = tiny_head()(feats_of(2, (height, width)))
    assert logits.shape == (2, 5, 8 * height, 8 * width)
    assert exist.shape == (2, 4)
    assert torch.isfinite(exist).all()


@pytest.mark.parametrize("size", [(9, 13), (8, 12), (3, 4), (20, 1)])
def test_existence_reads_the_same_grid_at_any_size(size):
    torch.manual_seed(0)
    branch = ExistenceBranch(4, (4, 6), 8)
    logits = torch.randn(2, 5, *size)
    pooled = F.avg_pool2d if (size[0] // 2, size[1] // 2) == (4, 6) else None
    prob = logits.softmax(1)
    expected = pooled(prob, 2) if pooled else F.adaptive_avg_pool2d(prob, (4, 6))
    torch.testing.assert_close(branch(logits), branch.layers(expected.flatten(1)))


def test_adaptive_pooling_is_the_authors_at_even_sizes():
    prob = torch.rand(2, 5, 8, 12)
    torch.testing.assert_close(F.adaptive_avg_pool2d(prob, (4, 6)), F.avg_pool2d(prob, 2))


def test_levels_from_stride_8_on_are_summed():
    head = tiny_head([4, 8, 16, 32], [4, 8, 16, 32], reducer="1x1")
    draw = torch.Generator().manual_seed(0)
    sizes = {4: (19, 25), 8: (10, 13), 16: (5, 7), 32: (3, 4)}
    feats = [torch.randn(2, stride, *size, generator=draw) for stride, size in sizes.items()]
    reducer = head.reducer
    assert (reducer.levels, reducer.stride) == ([1, 2, 3], 8)
    maps = [branch(x) for branch, x in zip(reducer.branches, feats[1:], strict=True)]
    expected = sum(F.interpolate(x, size=(10, 13), mode="bilinear", align_corners=False) for x in maps)
    torch.testing.assert_close(reducer(feats), expected)
    assert head(feats)[0].shape == (2, 5, 80, 104)


def test_without_deep_levels_the_coarsest_is_read():
    head = tiny_head([4, 8], [2, 4])
    assert (head.reducer.levels, head.reducer.stride) == ([1], 4)
    assert head.existence.grid == (8, 12)


# --- losses ---


def test_losses_by_hand():
    head = tiny_head(background_weight=0.3, exist_weight=0.2)
    labels = torch.zeros(2, 64, 96, dtype=torch.uint8)
    labels[0, 20:, 10:15] = 1
    labels[1, 30:, 70:80] = 4
    exists = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 1]])
    samples = [sample_of(gt_map=label, gt_exist=exist) for label, exist in zip(labels, exists)]
    logits, exist = head(feats_of(2), Batch(samples=samples))
    losses = head.loss(feats_of(2), Batch(samples=samples))
    picked = -logits.log_softmax(1).gather(1, labels[:, None].long())[:, 0]
    weights = torch.where(labels == 0, 0.3, 1.0)
    torch.testing.assert_close(losses["loss_map"], (picked * weights).sum() / weights.sum())
    prob = exist.sigmoid()
    entropy = -(exists * prob.log() + (1 - exists) * (1 - prob).log()).mean()
    torch.testing.assert_close(losses["loss_exist"], 0.2 * entropy)
    assert set(losses) == {"loss_map", "loss_exist"}


def test_existence_is_read_from_the_map_where_the_list_lacks_it():
    label = torch.zeros(64, 96, dtype=torch.uint8)
    label[40:, 5], label[40:, 60] = 2, 3
    both = [sample_of(gt_map=label), sample_of(gt_map=label, gt_exist=torch.tensor([0.0, 1.0, 1.0, 0.0]))]
    head = tiny_head()
    first, second = (head.loss(feats_of(1), Batch(samples=[sample]))["loss_exist"] for sample in both)
    assert torch.equal(first, second)


def test_images_without_lanes_learn_too():
    head = tiny_head().train()
    samples = [sample_of(gt_map=torch.zeros(64, 96, dtype=torch.uint8)) for _ in range(2)]
    losses = head.loss(feats_of(2), Batch(samples=samples))
    sum(losses.values()).backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(value.grad is not None and value.grad.isfinite().all() for value in head.parameters())


def test_padding_is_left_out_of_the_loss():
    head, label = tiny_head(), torch.ones(50, 80, dtype=torch.uint8)
    sample = sample_of((50, 80), gt_map=label)
    logits, _ = head(feats_of(1), Batch(samples=[sample]))
    expected = F.cross_entropy(logits[:, :, :50, :80], label[None].long(), head.class_weights)
    torch.testing.assert_close(head.loss(feats_of(1), Batch(samples=[sample]))["loss_map"], expected)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (dict(), "roads/1.jpg: expected gt_map to learn from, found none"),
        (dict(gt_map=torch.zeros(64, 95, dtype=torch.uint8)), r"expected gt_map of integers and of \(64, 96\)"),
        (dict(gt_map=torch.zeros(64, 96)), r"found torch.float32 of \(64, 96\)"),
        (
            dict(gt_map=torch.full((64, 96), 5, dtype=torch.uint8)),
            r"expected values from 0 \(background\) to 4 in gt_map, found 5 to 5",
        ),
        (
            dict(gt_map=torch.zeros(64, 96, dtype=torch.uint8), gt_exist=torch.zeros(3)),
            r"expected gt_exist of 4 numbers, found \(3,\)",
        ),
    ],
)
def test_wrong_truth_is_named(truth, message):
    with pytest.raises(DataError, match=message):
        tiny_head().loss(feats_of(1), Batch(samples=[sample_of(**truth)]))


def test_groups_are_refused():
    with pytest.raises(DataError, match="found 3 images in 1 samples"):
        tiny_head().loss(feats_of(3), Batch(samples=[sample_of(gt_map=torch.zeros(64, 96, dtype=torch.uint8))]))


# --- predictions ---


class _Painted(SCNNHead):
    """A head that returns painted maps."""

    painted: tuple[torch.Tensor, torch.Tensor]

    def forward(self, feats, batch=None):
        return self.painted


def painted_head(columns, exist, size=(64, 96), **options):
    """Paint lane k + 1 into column ``columns[k]`` of every row of an image of ``size``; ``None`` paints no lane."""
    head = _Painted(8, (8,), "tiny", input_size=(64, 96), **options).eval()
    logits = torch.zeros(1, 5, *size)
    logits[:, 0] = 5
    for lane, column in enumerate(columns, start=1):
        if column is not None:
            logits[:, lane, :, column - 4 : column + 5] = 20
    head.painted = (logits, torch.tensor([exist]).logit())
    return head


@pytest.mark.parametrize(
    ("kind", "ori_shape", "rows"),
    [
        ("culane", (590, 1640), [589.0 - 20 * step for step in range(18)]),
        ("culane", (295, 820), [(589.0 - 20 * step) / 2 for step in range(18)]),
        ("tusimple", (720, 1280), [710.0 - 10 * step for step in range(56)]),
        ("tusimple", (1440, 640), [2 * (710.0 - 10 * step) for step in range(56)]),
    ],
)
def test_lanes_are_in_the_original_image(kind, ori_shape, rows):
    head = painted_head((20, None, 60, 80), [0.9, 0.8, 0.7, 0.2], rows=dict(kind=kind))
    sample = sample_of(ori_shape=ori_shape)
    (prediction,) = head.predict(None, Batch(samples=[sample]))
    assert prediction.pred_lane_slots == [0, 2]  # the second is not painted, the fourth does not exist
    assert prediction.pred_lane_scores == pytest.approx([0.9, 0.7])
    torch.testing.assert_close(prediction.pred_exist, torch.tensor([0.9, 0.8, 0.7, 0.2]))
    for lane, column in zip(prediction.pred_lanes, (20, 60), strict=True):
        assert lane.dtype == np.float64
        assert lane[:, 1] == pytest.approx(rows)
        assert np.abs(lane[:, 0] - column / 96 * ori_shape[1]).max() <= 1.01 * ori_shape[1] / 96


def test_padding_is_cut_off_before_rows_are_sampled():
    """The image has 48 of 64 rows and 72 of 96 columns; column 36 is its middle."""
    head = painted_head((36, None, None, None), [0.9] * 4)
    head.painted[0][:, :, 48:] = 0
    (prediction,) = head.predict(None, Batch(samples=[sample_of((48, 72), ori_shape=(590, 1640))]))
    assert prediction.pred_lane_slots == [0]
    assert np.abs(prediction.pred_lanes[0][:, 0] - 820).max() <= 1640 / 72


def test_no_lane_at_all():
    for head in (painted_head((None,) * 4, [0.9] * 4), painted_head((20, 40, 60, 80), [0.1] * 4)):
        (prediction,) = head.predict(None, Batch(samples=[sample_of(ori_shape=(590, 1640))]))
        assert (prediction.pred_lanes, prediction.pred_lane_slots, prediction.pred_lane_scores) == ([], [], [])
        assert prediction.pred_exist.shape == (4,)


def test_settings_of_rows():
    rows = dict(kind="culane", size=(600, 900), gap=100, points=3, smooth=False, threshold=0.5)
    head = painted_head((20, 40, 60, 80), [0.9] * 4, rows=rows, exist_threshold=0.85)
    (prediction,) = head.predict(None, Batch(samples=[sample_of(ori_shape=(600, 900))]))
    assert [lane[:, 1].tolist() for lane in prediction.pred_lanes] == [[599.0, 499.0, 399.0]] * 4


def test_one_image_equals_its_result_among_three():
    head = tiny_head(exist_threshold=0.0, rows=dict(threshold=0.0))
    for value in head.messages.parameters():
        torch.nn.init.normal_(value, std=0.1)
    samples = [sample_of(ori_shape=(590, 1640)) for _ in range(5)]
    together = head.predict(feats_of(5), Batch(samples=samples))
    for index, sample in enumerate(together):
        (single,) = head.predict(
            (feats_of(5)[0][index : index + 1],), Batch(samples=[sample_of(ori_shape=(590, 1640))])
        )
        torch.testing.assert_close(single.pred_exist, sample.pred_exist)
        assert single.pred_lane_slots == sample.pred_lane_slots
        assert len(single.pred_lanes) > 0
        for one, other in zip(single.pred_lanes, sample.pred_lanes, strict=True):
            np.testing.assert_allclose(one, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_stays_finite(dtype):
    head = tiny_head().train()
    samples = [sample_of(gt_map=torch.ones(64, 96, dtype=torch.uint8)) for _ in range(2)]
    with torch.autocast("cpu", dtype=dtype):
        losses = head.loss(feats_of(2), Batch(samples=samples))
    sum(losses.values()).backward()
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())
    assert all(value.grad.isfinite().all() for value in head.parameters())


# --- settings ---


def test_messages_follow_their_settings():
    head = tiny_head(kernel=3, directions=("up", "left"), message_bias=True, update_first=False, lanes=6)
    assert list(head.messages) == ["up", "left"]
    assert head.messages["up"].weight.shape == (16, 16, 3)
    assert not head.messages["left"].update_first
    assert head.messages["left"].bias.shape == (16,)
    logits, exist = head(feats_of(2))
    assert (logits.shape[1], exist.shape[1]) == (7, 6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(reducer="2x2"), UnknownName, "no reducer of SCNNHead is called '2x2'"),
        (dict(input_size=(288,)), ConfigError, r"input_size: expected a list of 2 items"),
        (dict(lanes=0), ConfigError, "lanes: expected a whole number from 1 to 1,024, found 0"),
        (dict(rows=dict(kind="culan")), UnknownName, "'culan'; did you mean 'culane'"),
        (dict(rows=dict(gaps=20)), UnknownName, "no setting of SCNNHead.rows is called 'gaps'; did you mean 'gap'"),
        (dict(rows=dict(points=1)), ConfigError, "points >= 2"),
        (dict(in_strides=(8, 16)), ConfigError, "expected as many in_strides as in_channels"),
        (dict(directions=("sideways",)), ConfigError, "directions: expected some of"),
    ],
)
def test_wrong_settings(options, error, message):
    with pytest.raises(error, match=message):
        tiny_head(**options)


def test_unknown_variant():
    with pytest.raises(UnknownName, match="no SCNNHead variant is called 'huge'"):
        SCNNHead(8, (8,), "huge")
