"""GCoNet+: sizes of every variant, its parts, groups of any size, wrong settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visionzoo.cli.convert import main as convert_command
from visionzoo.errors import CheckpointError, ConfigError, DataError, UnknownName
from visionzoo.heads.gconet_plus import GCoNetPlusHead, convert_model
from visionzoo.heads.gconet_plus.affinity import GroupConsensus, group_attention
from visionzoo.heads.gconet_plus.decoder import step
from visionzoo.heads.gconet_plus.losses import focal_loss, group_triplet_loss, iou_loss
from visionzoo.metrics.saliency import SaliencyMetric
from visionzoo.models.wiring import build_model
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample
from visionzoo.zoo import get_model

GOLDEN = Path(__file__).parents[1] / "golden" / "gconet_plus"
BASELINE = dict(gam=False, gcm=False, acm=False, racm=False, gst=False)
NO_MODULES = dict(gcm=False, acm=False, racm=False, gst=False)

# backbone, head, parameters, parameters of the backbone, entries of the state; counted on the authors' model
SIZES = {
    "vgg16bn": (dict(type="VGG"), {}, 18_415_048, 14_723_136, 237),
    "vgg16bn, no RACM": (dict(type="VGG"), dict(racm=False), 18_415_015, 14_723_136, 235),
    "vgg16bn, baseline": (dict(type="VGG"), BASELINE, 16_099_715, 14_723_136, 217),
    "vgg16, no CEM": (dict(type="VGG", variant="16"), dict(cem=False, norm=False), 18_366_982, 14_714_688, 80),
    "vgg16bn, refiner": (dict(type="VGG"), dict(refine=4), 18_898_953, 14_723_136, 304),
    "resnet50": (dict(type="UnpooledResNet"), {}, 61_153_992, 23_508_032, 464),
}


def model_of(backbone=None, **head):
    backbone = backbone or dict(type="VGG", variant="tiny")
    return build_model(dict(type="TaskModel", backbone=backbone, head=dict(type="GCoNetPlusHead", **head)))


def tiny(seed=0, **head):
    torch.manual_seed(seed)
    return model_of(**dict(variant="tiny", num_classes=5) | head)


def sensitive(**head):
    """Return an evaluation model with a strong consensus; an untrained one is so small that a group hardly matters."""
    model = tiny(**head).eval()
    with torch.no_grad():
        model.head.consensus.value.weight.mul_(1e5)
    return model


def group(count, size=(48, 64), label=0, masks=None, **meta):
    item = TaskSample(metainfo=dict(group_size=count, **meta))
    item.gt_map = list(torch.randint(0, 2, (count, *size), dtype=torch.uint8) * 255) if masks is None else masks
    item.gt_label = torch.tensor(label)
    return item


def count(module):
    return sum(value.numel() for value in module.parameters())


# --- sizes ---


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_the_authors(name):
    backbone, head, parameters, encoder, entries = SIZES[name]
    with torch.device("meta"):
        model = model_of(backbone, unused_layers=True, **head)
        lean = model_of(backbone, **head)
    assert count(model) == parameters
    assert count(model.backbone) == encoder
    assert len(model.state_dict()) == entries
    unused = count(model.head.unused) if head.get("gam", True) or head.get("cem", True) else 0
    assert count(lean) == parameters - unused
    assert not any(value.requires_grad for value in model.head.unused.parameters())


def test_parts_have_the_authors_sizes():
    with torch.device("meta"):
        head = model_of(dict(type="VGG"), unused_layers=True).head
    decoder = head.decoder
    assert count(decoder.top) == 443_328
    assert [count(block) for block in decoder.blocks] == [295_872, 221_760, 110_976, 55_584, 37_152]
    assert [count(lateral) for lateral in decoder.laterals] == [131_328, 32_896, 8_256, 2_080]
    assert count(head.consensus) + count(head.unused) == 1_575_936 + 33
    assert count(head.contrast) == 590_081
    assert count(head.classifier) == 149_283
    assert count(head.to_mask) == 33
    assert count(head.binarizer) == 37_314


# --- released weights --- ---


def released(case):
    state = json.loads((GOLDEN / f"{case}.json").read_text())["state"]
    return {name: torch.empty(shape, dtype=getattr(torch, kind)) for name, shape, kind in state}


CASES = [("eval_vgg16bn_k300", {}), ("eval_vgg16_noCEM", dict(cem=False, norm=False))]


@pytest.mark.parametrize(("case", "options"), CASES)
def test_released_files_fit_strictly(case, options):
    backbone = dict(type="VGG", variant="16" if options else "16_bn")
    state = released(case)
    with torch.device("meta"):
        for extra, keep in ((dict(unused_layers=True), dict(keep_unused=True)), ({}, {})):
            model_of(backbone, **options, **extra).load_state_dict(convert_model(state, **keep), assign=True)
        lean = model_of(backbone, **options, **NO_MODULES)
        lean.load_state_dict(convert_model(state, inference_only=True), assign=True)
        cut = {n: x for n, x in state.items() if not n.startswith(("pred_layer", "classifier", "conv_out_mask"))}
        lean.load_state_dict(convert_model(cut), assign=True)  # a file that already lacks them
    assert len(convert_model(state, keep_unused=True)) == len(state)


def test_a_training_checkpoint_is_unwrapped():
    state = {f"module.{name}": value for name, value in released("eval_vgg16bn_k50").items()}
    wrapped = {"epoch": 7, "state_dict": state, "scheduler": {"last_epoch": 7}}
    assert set(convert_model(wrapped)) == set(convert_model(released("eval_vgg16bn_k50")))


def test_resnet_names():
    with torch.device("meta"):
        model = model_of(dict(type="UnpooledResNet"))
        plain = model_of(dict(type="VGG"))
    theirs = {name: value for name, value in released("eval_vgg16bn_k300").items() if not name.startswith("bb.")}
    for name, value in model.backbone.state_dict().items():
        part, _, rest = name.partition(".")
        stage = {"conv1": "bb.conv1.0", "bn1": "bb.conv1.1"}.get(part, f"bb.conv{int(part[-1]) + 1}")
        theirs[f"{stage}.{rest}"] = value
    converted = convert_model(theirs)
    assert {name for name in converted if name.startswith("backbone.")} == {
        f"backbone.{name}" for name in model.backbone.state_dict()
    }
    assert {name for name in converted if name.startswith("head.")} == {
        f"head.{name}" for name in plain.head.state_dict()
    }


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"ginet.backbone.conv1.conv1_1.weight": 1, "ginet.toplayer.0.weight": 1}, "found GCoNet, its predecessor"),
        ({"dslayer4.enlayer.0.weight": 1, "toplayer.0.weight": 1}, "found GCoNet, its predecessor"),
        ({"conv1.weight": 1}, r"found no bb\.conv1\.0\.weight"),
        ({"bb.conv1.0.weight": 1, "top_layer.conv_in.weight": 1, "strange.weight": 1}, r"found strange\.weight"),
        ({"bb.conv1.0.weight": 1, "top_layer.conv_in.weight": 1, "bb.conv6.0.weight": 1}, r"found bb\.conv6"),
    ],
)
def test_other_files_are_refused(state, expected):
    with pytest.raises(CheckpointError, match=expected):
        convert_model({name: torch.zeros(1, 1, 3, 3) for name in state})


def test_a_released_file_becomes_weights_of_a_config(tmp_path, capsys):
    model = tiny(unused_layers=True)
    theirs = {}
    for name, value in released("eval_vgg16bn_k300").items():
        theirs[name] = torch.zeros(value.shape, dtype=value.dtype)
    torch.save(theirs, tmp_path / "ultimate.pth")
    out = tmp_path / "ours.safetensors"
    command = ["checkpoint", str(tmp_path / "ultimate.pth"), str(out), "--from", "gconet_plus"]
    assert convert_command([*command, "--as", "backbone"]) == 2
    assert "--as backbone: expected one of model" in capsys.readouterr().err
    assert convert_command([*command, "--set", "variant=x"]) == 2
    assert convert_command(command) == 0
    loaded = get_model("gconet_plus_vgg16bn", weights=out)
    assert count(loaded) == 18_415_048 - 787_968 - 33
    assert convert_command([*command, "--set", "inference_only=true", "--overwrite"]) == 0
    torch.save(model.state_dict(), tmp_path / "ultimate.pth")
    assert convert_command([*command, "--overwrite"]) == 2
    assert "ultimate.pth: checkpoint: expected GCoNet+" in capsys.readouterr().err


# --- consensus of a group --- ---


def whole_affinity(query, key):
    """Compute all (N h w)^2 affinities at once, as in the definition."""
    images, channels, height, width = query.shape
    q = query.flatten(2).transpose(1, 2).reshape(-1, channels)
    k = key.transpose(0, 1).reshape(channels, -1)
    best = (q @ k).view(-1, images, height * width).max(2).values.mean(1)
    scores = best.view(images, -1) * channels**-0.5
    return scores.softmax(1).view(images, 1, height, width)


@pytest.mark.parametrize("shape", [(5, 16, 3, 4), (1, 8, 2, 7), (7, 4, 1, 1)])
@pytest.mark.parametrize("block", [1, 30, 2**22])
def test_chunked_affinity_is_the_whole_one(shape, block):
    query, key = (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in range(2))
    result = group_attention(query, key, block=block)
    torch.testing.assert_close(result, whole_affinity(query, key), rtol=0, atol=1e-5)
    torch.testing.assert_close(result.sum((2, 3)), torch.ones(shape[0], 1))


def test_chunked_affinity_has_the_same_gradient():
    leaves = [torch.randn(4, 6, 3, 3, requires_grad=True) for _ in range(2)]
    weight = torch.randn(4, 1, 3, 3)
    ours = torch.autograd.grad((group_attention(*leaves, block=20) * weight).sum(), leaves)
    theirs = torch.autograd.grad((whole_affinity(*leaves) * weight).sum(), leaves)
    torch.testing.assert_close(ours, theirs)


def test_no_tensor_is_quadratic(monkeypatch):
    """No tensor of the forward pass or kept for the backward pass grows with the square of the pixels."""
    sizes = []
    query, key = (torch.randn(12, 4, 6, 5, requires_grad=True) for _ in range(2))
    with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
        products = torch.Tensor.__matmul__
        monkeypatch.setattr(
            torch.Tensor, "__matmul__", lambda a, b: sizes.append(len(a) * b.shape[1]) or products(a, b)
        )
        group_attention(query, key)
    assert max(sizes) <= (12 * 30) * 30 < (12 * 30) ** 2


def test_groups_do_not_see_each_other():
    torch.manual_seed(0)
    consensus = GroupConsensus(8)
    x = torch.randn(6, 8, 3, 4)
    both = consensus(x, [4, 2])
    assert both.shape == (2, 8, 1, 1)
    torch.testing.assert_close(both[:1], consensus(x[:4], [4]))
    torch.testing.assert_close(both[1:], consensus(x[4:], [2]))


# --- step function --- ---


def test_the_step_is_steep_until_float32_overflows():
    margin = torch.tensor([[-0.2957, 0.1, 0.001], [-0.2958, 0.1, 0.001]]).view(2, 1, 1, 3)
    assert torch.exp(-300 * margin).isinf().flatten().tolist() == [False] * 3 + [True] + [False] * 2
    single = step(margin, [1, 1])
    torch.testing.assert_close(single[0], torch.sigmoid(300 * margin[0]))
    torch.testing.assert_close(single[1], torch.sigmoid(50 * margin[1]))
    torch.testing.assert_close(step(margin, [2]), torch.sigmoid(50 * margin))  # one pixel softens the whole group


def test_the_step_has_a_finite_gradient():
    margin = torch.tensor([-0.29, 0.29, 0.0, -0.9]).view(4, 1, 1, 1).requires_grad_()
    step(margin, [3, 1]).sum().backward()
    assert bool(margin.grad.isfinite().all())
    assert float(margin.grad[2]) == pytest.approx(75)


# --- losses ---


def test_iou_of_nothing_is_zero():
    maps = torch.tensor([[0.0, 0.0], [0.5, 1.0], [0.0, 0.0]]).view(3, 1, 1, 2).requires_grad_()
    truth = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]).view(3, 1, 1, 2)
    loss = iou_loss(maps, truth)
    assert loss.item() == pytest.approx(0 + (1 - 1 / 1.5) + 1)
    loss.backward()
    assert bool(maps.grad.isfinite().all())


def test_focal_loss_by_its_formula():
    logits, truth = torch.randn(3, 2, 4, 5), torch.rand(3, 2, 4, 5).round()
    prob = torch.where(truth > 0, logits.sigmoid(), 1 - logits.sigmoid())
    torch.testing.assert_close(focal_loss(logits, truth), ((1 - prob) ** 2 * -prob.log()).mean())


def test_triplets_of_halves():
    features = torch.randn(9, 6)
    first, second = features[:5], features[5:]
    expected = F.triplet_margin_loss(first[:2], first[3:], second[:2], margin=0.1)
    expected = expected + F.triplet_margin_loss(second[:2], second[2:], first[:2], margin=0.1)
    torch.testing.assert_close(group_triplet_loss(features, [5, 4]), expected)
    assert float(group_triplet_loss(features[:2], [1, 1])) == 0  # nan in the authors' code
    assert float(group_triplet_loss(features[:6], [5, 1])) == 0


# --- groups ---


def forward(model, images, *sizes):
    with torch.no_grad():
        return model(images, [TaskSample(metainfo=dict(group_size=size)) for size in sizes])


def test_the_order_of_a_group_does_not_matter():
    model = sensitive()
    images, order = torch.randn(5, 3, 64, 48), torch.tensor([3, 0, 4, 2, 1])
    margins = []
    model.head.binarizer.register_forward_hook(lambda module, given, out: margins.append(out))
    straight, turned = forward(model, images, 5), forward(model, images[order], 5)
    torch.testing.assert_close(turned, straight[order], rtol=0, atol=5e-3)
    torch.testing.assert_close(margins[1], margins[0][order], rtol=0, atol=1e-4)


def test_a_group_depends_on_its_images_and_on_no_others():
    model = sensitive(cem=False)
    images = torch.randn(7, 3, 64, 48)
    together = forward(model, images, 4, 1, 2)
    for part, size in zip(together.split([4, 1, 2]), (4, 1, 2)):
        start = {4: 0, 1: 4, 2: 5}[size]
        torch.testing.assert_close(part, forward(model, images[start : start + size], size))
    single = forward(model, images, *[1] * 7)
    assert float((single[:4] - together[:4]).abs().max()) > 1e-2
    with torch.no_grad():
        torch.testing.assert_close(model(images), single)  # without samples each image is its own group


@pytest.mark.parametrize("at_once", [1, 3, 50])
def test_few_images_at_once_have_the_same_result(at_once):
    model = sensitive()
    images = torch.randn(5, 3, 33, 48)
    whole = forward(model, images, 5)
    model.head.images_at_once = at_once
    torch.testing.assert_close(forward(model, images, 5), whole)


@pytest.mark.parametrize(("size", "shape"), [(1, (97, 61)), (3, (97, 61)), (40, (32, 33)), (2, (16, 16))])
def test_odd_groups_and_sizes(size, shape):
    model = tiny().eval()
    samples = [group(size, shape, ori_shape=[(shape[0] + i, 1 + i) for i in range(size)])]
    maps = model(torch.randn(size, 3, *shape), samples, mode="predict")[0].pred_map
    assert [tuple(one.shape) for one in maps] == [(shape[0] + i, 1 + i) for i in range(size)]
    assert all(one.dtype == torch.float32 and 0 <= float(one.min()) <= float(one.max()) <= 1 for one in maps)


def test_a_single_image_has_one_map():
    model = tiny().eval()
    predictions = model(torch.randn(1, 3, 32, 48), [TaskSample(metainfo=dict(ori_shape=(20, 30)))], mode="predict")
    assert predictions[0].pred_map.shape == (20, 30)


def test_a_metric_counts_images_not_groups():
    model, shapes = tiny().eval(), [(20, 30), (31, 17), (48, 64)]
    metric = SaliencyMetric(protocol="gconet")
    for size in (3, 1):
        sample = group(size, ori_shape=shapes[:size], group="cat", img_path=[f"{i}.png" for i in range(size)])
        sample.gt_map = [torch.randint(0, 2, shape, dtype=torch.uint8) * 255 for shape in shapes[:size]]
        predictions = model(torch.randn(size, 3, 48, 64), [sample], mode="predict")
        metric.process(None, [one.to_dict() for one in predictions])
    assert metric.evaluate(2)["sal/images"] == 4  # from two samples


def test_padding_is_cut_off_before_resizing():
    model = tiny().eval()
    image = torch.randn(2, 3, 48, 64)
    image[:, :, 33:] = 0
    samples = [TaskSample(metainfo=dict(group_size=2, img_shape=(33, 64), ori_shape=[(33, 64), (66, 64)]))]
    maps = model(image, samples, mode="predict")[0].pred_map
    whole = forward(model, image, 2)
    torch.testing.assert_close(maps[0], whole[0, 0, :33])
    expected = F.interpolate(whole[1:, :, :33], size=(66, 64), mode="bilinear", align_corners=True)
    torch.testing.assert_close(maps[1], expected[0, 0])


def test_measuring_runs_no_second_pass():
    """RACM is only for training: with or without it the map is equal to the bit, and the encoder runs once."""
    on, off = tiny(racm=True).eval(), tiny(racm=False).eval()
    off.load_state_dict({name: value for name, value in on.state_dict().items() if "to_mask" not in name})
    passes = []
    on.backbone.register_forward_hook(lambda module, given, out: passes.append(len(out)))
    images = torch.randn(3, 3, 48, 64)
    assert torch.equal(forward(on, images, 3), forward(off, images, 3))
    assert len(passes) == 1
    on.train()(images[:2], [group(1), group(1, label=1)], mode="loss")
    assert len(passes) == 3


# --- training ---

LOSSES = {"loss_bce", "loss_iou", "loss_triplet", "loss_cls", "loss_contrast", "loss_cls_mask"}
SWITCHES = [
    ({}, LOSSES),
    (dict(gst=False), LOSSES - {"loss_triplet"}),
    (dict(gcm=False), LOSSES - {"loss_contrast"}),
    (dict(acm=False), LOSSES - {"loss_cls"}),
    (dict(racm=False), LOSSES - {"loss_cls_mask"}),
    (dict(racm_operation="+"), LOSSES),
    (dict(racm_operation="c"), LOSSES),
    (dict(cem=False), LOSSES),
    (dict(norm=False), LOSSES),
    (dict(gst_on=("features", "masked")), LOSSES),
    (dict(loss_weights=dict(bce=0)), LOSSES - {"loss_bce"}),
    (dict(refine=1), LOSSES),
    (dict(refine=4), LOSSES),
    (BASELINE, {"loss_bce", "loss_iou"}),
]


@pytest.mark.parametrize(("options", "expected"), SWITCHES, ids=[str(options) for options, _ in SWITCHES])
def test_every_switch_trains(options, expected):
    model = tiny(**options).train()
    losses = model(torch.randn(7, 3, 48, 64), [group(4), group(3, label=2)], mode="loss")
    assert set(losses) == expected
    assert all(value.item() > 0 and value.ndim == 0 for name, value in losses.items() if name != "loss_triplet")
    sum(losses.values()).backward()
    assert not [name for name, value in model.named_parameters() if value.grad is None]
    assert all(bool(value.grad.isfinite().all()) for value in model.parameters())


@pytest.mark.parametrize("backbone", [dict(type="DiNAT", variant="tiny"), dict(type="timm.resnet18")])
def test_any_encoder_fits(backbone):
    torch.manual_seed(0)
    model = model_of(backbone, variant="tiny", num_classes=5)
    losses = model.train()(torch.randn(4, 3, 65, 97), [group(2, (65, 97)), group(2, (65, 97))], mode="loss")
    assert set(losses) == LOSSES
    assert forward(model.eval(), torch.randn(3, 3, 65, 97), 2, 1).shape == (3, 1, 65, 97)


def test_losses_of_pairs_are_added():
    """With fixed norm statistics the two groups of a pair do not affect each other; group sizes may differ."""
    model = tiny(norm=False).train()
    for part in model.backbone.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
    sizes = (3, 2, 1, 4)
    images, samples = torch.randn(10, 3, 48, 64), [group(size, label=i) for i, size in enumerate(sizes)]
    together = model(images, samples, mode="loss")
    first, second = (
        model(images[:5], samples[:2], mode="loss"),
        model(images[5:], samples[2:], mode="loss"),
    )
    for name, value in together.items():
        torch.testing.assert_close(value, first[name] + second[name], rtol=1e-4, atol=1e-5)


def test_soft_masks_stay_soft():
    model = tiny(cem=False).train()
    images = torch.randn(2, 3, 48, 64)
    given = [torch.full((48, 64), 51, dtype=torch.uint8)]
    raw = model.head._outputs(model.backbone(images), [1, 1], images, [[1, 1]])["maps"]
    losses = model(images, [group(1, masks=given), group(1, masks=given)], mode="loss")
    expected = F.binary_cross_entropy(raw, torch.full_like(raw, 0.2))
    torch.testing.assert_close(losses["loss_bce"], 120 * expected, rtol=1e-3, atol=0)


def test_what_cannot_be_learnt_from():
    model = tiny().train()
    images = torch.randn(3, 3, 48, 64)
    for samples, expected in (
        ([group(3)], "expected pairs of groups, found 1"),
        ([group(1), group(1), group(1)], "found 3 groups"),
        ([group(2), group(1, label=5)], "expected a class from 0 to 4, found 5"),
        ([group(2, masks=[torch.zeros(48, 64)], group="cat"), group(1)], "group cat: expected 2 masks.*found 1"),
        ([group(2, (48, 48)), group(1)], "expected masks of 64x48 pixels.*found 48x48"),
        ([TaskSample(metainfo=dict(group_size=2)), group(1)], "expected 2 masks"),
    ):
        with pytest.raises(DataError, match=expected):
            model(images, samples, mode="loss")
    baseline = tiny(**BASELINE).train()
    assert set(baseline(images, [group(1), group(1), group(1)], mode="loss")) == {"loss_bce", "loss_iou"}
    with pytest.raises(ConfigError, match="the images and the encoder for RACM"):
        model.head.loss(model.backbone(images[:2]), Batch(samples=[group(1), group(1)]))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (dict(gam=False), "gcm=False where gam is off"),
        (dict(racm_operation="/"), "racm_operation"),
        (dict(gst_on=("labels",)), "gst_on"),
        (dict(racm=False, gst_on=("masked",)), "racm=True for gst_on"),
        (dict(refine=2), "refine to be 0, 1 or 4"),
        (dict(images_at_once=0), "images_at_once"),
        (dict(width=12), "a multiple of 8, found 5 maps and width 12"),
    ],
)
def test_wrong_settings(options, expected):
    with pytest.raises(ConfigError, match=expected):
        tiny(**options)
    with pytest.raises(UnknownName, match="loss of GCoNetPlusHead"):
        GCoNetPlusHead([8, 8], [1, 2], loss_weights=dict(bse=1))
    with pytest.raises(UnknownName, match="did you mean 'tiny'"):
        GCoNetPlusHead([8, 8], [1, 2], variant="tinny")
