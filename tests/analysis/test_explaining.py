"""Explanations of every task on tiny models: the value is the prediction's, and its gradient is right at the layer."""

import re
from contextlib import nullcontext
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from finite_differences import fed_in_double, slopes
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from visionzoo import Inferencer
from visionzoo.analysis import explaining
from visionzoo.analysis.explaining import Explainer
from visionzoo.analysis.randomising import rank_correlation
from visionzoo.cards.seeding import fill_weights
from visionzoo.config import load_config
from visionzoo.errors import ConfigError, UnknownName
from visionzoo.models.heads_by_name import heads_by_name

BOXES = {"model.test_cfg.score_thr": 0.0}
REGIONS = {"model.test_cfg.rcnn.score_thr": 0.0}
TEXT = {"text": "left box"}
SOLO = {
    "type": "mmdet.DecoupledSOLOHead",
    "stacked_convs": 1,
    "feat_channels": 16,
    "strides": [8, 8, 16, 32, 32],
    "scale_ranges": [(1, 96), (48, 192), (96, 384), (192, 768), (384, 2048)],
    "num_grids": [8, 6, 4, 3, 2],
    "norm_cfg": {"type": "GN", "num_groups": 4},
    "loss_mask": {"type": "mmdet.DiceLoss", "use_sigmoid": True, "activate": False},
    "loss_cls": {"type": "mmdet.FocalLoss", "use_sigmoid": True},
    "test_cfg": {
        "nms_pre": 50,
        "score_thr": 0.0,
        "mask_thr": 0.1,
        "filter_thr": 0.0,
        "max_per_img": 10,
        "kernel": "gaussian",
        "sigma": 2.0,
    },
}
SEVERAL = {
    "task": ["classification", "counting"],
    "model.head": None,
    "model.heads": {
        "classification": {"type": "ClassificationHead"},
        "counting": {"type": "DensityHead", "variant": "tiny"},
    },
}


def noisy(height=61, width=93, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def made(name, seed=0, **options):
    torch.set_num_threads(1)
    inferencer = Inferencer(name, "none", tiny=True, device="cpu", options=options, allow_new=True)
    fill_weights(inferencer.model, seed)
    return inferencer


def explained(inferencer, images=None, reading=None, **settings):
    given = [noisy()] if images is None else images
    sources = inferencer.prepare.inputs.sources_of(given, **(reading or {}))
    return list(Explainer(inferencer, **settings)(sources))


CASES = [
    ("dinat_mini_imagenet", {}, {}, "logit of"),
    ("rcnet_retinanet", BOXES, {}, "log-odds of the box of"),
    pytest.param("rcnet_mask_rcnn", REGIONS, {}, "log-odds of the box of", marks=pytest.mark.slow),
    ("scnn_dinat_culane", {}, {}, "lane slot"),
    ("hmode_shanghaitech_a", {}, {}, "count"),
    ("connnet_r50", {}, {}, "log-odds of the salient region"),
    ("gconet_plus_resnet50", {}, {}, "margin of the salient regions of 2 images"),
    ("dinat_upernet_ade20k", {}, {}, "logit of"),
    ("mask2former_r50_coconut", {}, {}, "plus mean mask logit"),
    ("lavt_refcoco", {}, TEXT, 'log-odds of "left box"'),
    ("wico_lavt_refcoco", {}, TEXT, 'log-odds of "left box"'),
]
IDS = [getattr(case, "values", case)[0] for case in CASES]


# By task: True if its target has a place in the image.
REGION = dict.fromkeys(["detection", "instances", "lanes", "saliency", "co_saliency"], True)
REGION |= {"semantic": True, "panoptic": True, "referring": True, "classification": False, "counting": False}


@pytest.mark.parametrize(("name", "options", "reading", "said"), CASES, ids=IDS)
def test_every_task_is_explained(name, options, reading, said):
    inferencer = made(name, **options)
    images = [noisy(), noisy(seed=1)] if inferencer.takes_groups else [noisy()]
    found = explained(inferencer, images, reading)
    assert len(found) == len(images)
    for each in found:
        assert each.error is None
        assert said in each.said
        assert np.isfinite(each.value)
        assert each.map.shape == each.image.shape[:2]
        assert each.map.dtype == np.float32
        assert each.is_zero != (each.map.max() == 1)
        assert each.region.shape == each.map.shape
        assert each.region.any() == (
            REGION[inferencer.task] and "empty" not in each.said and "nowhere" not in each.said
        )
        assert each.layer.startswith("backbone:")


FEDS = [
    ("dinat_mini_imagenet", {}, {}, None),
    pytest.param("bossnet_t0_imagenet", {"model.backbone.type": "timm.test_resnet"}, {}, None, marks=pytest.mark.slow),
    ("bossnet_t0_imagenet", {"model.head.loss": "binary_cross_entropy"}, {}, None),
    ("fpn_retinanet", BOXES, {}, None),
    pytest.param("rcnet_atss", BOXES, {}, "backbone:1", marks=pytest.mark.slow),
    pytest.param("mask2former_r50_coco_instance", {}, {}, None, marks=pytest.mark.slow),
    pytest.param("scnn_culane", {}, {}, None, marks=pytest.mark.slow),
    ("scnn_dinat_culane", {}, {}, "head.messages"),
    pytest.param("connnet_binary_r50", {}, {}, None, marks=pytest.mark.slow),
    pytest.param("dinat_upernet_ade20k", {}, {}, None, marks=pytest.mark.slow),
    pytest.param("mask2former_r50_coconut", {}, {}, None, marks=pytest.mark.slow),
    pytest.param("lavt_refcoco", {}, TEXT, None, marks=pytest.mark.slow),
    pytest.param("wico_lavt_refcoco", {}, TEXT, None, marks=pytest.mark.slow),
    pytest.param("density_rcnet_r50", {}, {}, None, marks=pytest.mark.slow),
    pytest.param("gconet_plus_resnet50", {}, {}, "backbone:0", marks=pytest.mark.slow),
]


@pytest.fixture
def only_double(monkeypatch):
    """Keep values in double where parts convert them to single precision, such as densities and margins."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.mark.parametrize(
    ("name", "options", "reading", "layer"), FEDS, ids=[getattr(each, "values", each)[0] for each in FEDS]
)
@pytest.mark.usefixtures("only_double")
def test_gradients_are_the_slopes_without_gradients(name, options, reading, layer):
    """The second slope is computed under no_grad, where DiNAT and SCNN take other paths."""
    inferencer = made(name, **options)
    images = [noisy(), noisy(seed=1)] if inferencer.takes_groups else [noisy()]
    explainer = Explainer(inferencer, layer=layer)
    by_gradient, by_difference = slopes(explainer, fed_in_double(explainer, images, **reading))
    assert by_gradient > 1e-6
    assert by_difference == pytest.approx(by_gradient, rel=1e-4)


def with_proposals(make):
    """Return a function that feeds an image with two proposals to WiCo."""
    masks = torch.zeros(2, 61, 93)
    masks[0, 10:40, 20:60] = masks[1, 5:50, 5:30] = 1
    corners, labels = torch.tensor([[20.0, 10, 60, 40], [5, 5, 30, 50]]), torch.tensor([0, 1])

    def fed():
        found = make()
        found.samples[0].proposals = InstanceData(boxes=corners, masks=masks, labels=labels)
        return found

    return fed


@pytest.mark.usefixtures("only_double")
def test_what_a_model_detaches_belongs_to_the_slope(monkeypatch):
    """WiCo detaches what its reliability reads; the weights of its two maps depend on it all the same."""
    explainer = Explainer(made("wico_dinat_refcoco"), layer="backbone:0")
    make = with_proposals(fed_in_double(explainer, [noisy()], **TEXT))
    by_gradient, by_difference = slopes(explainer, make)
    assert by_difference == pytest.approx(by_gradient, rel=1e-6)
    monkeypatch.setattr(explaining, "Undetached", nullcontext)
    partial, by_difference = slopes(explainer, make)
    assert partial != pytest.approx(by_difference, rel=1e-3)


@pytest.mark.slow
def test_two_stage_scores_have_the_slope_of_constant_proposals():
    explainer = Explainer(made("rcnet_faster_rcnn", **REGIONS))
    make = fed_in_double(explainer, [noisy()])
    with torch.no_grad():
        fed = make()
        feats = explainer.model.extract_feat(fed.inputs)
        proposals = explainer.model.rpn_head.predict(feats, fed.samples, rescale=False)
    explainer.model.rpn_head.predict = lambda *args, **options: proposals
    by_gradient, by_difference = slopes(explainer, make)
    assert by_difference == pytest.approx(by_gradient, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "of_result"),
    [
        ("hmode_shanghaitech_a", {}, lambda result: result.count),
        ("rcnet_retinanet", BOXES, lambda result: np.log(result.scores[0] / (1 - result.scores[0]))),
    ],
)
def test_the_value_is_that_of_the_prediction(name, options, of_result):
    inferencer = made(name, **options)
    result = inferencer.one(noisy(), score_threshold=0.0 if options else None).result
    assert explained(inferencer)[0].value == pytest.approx(of_result(result), rel=1e-4)


def test_the_place_of_a_box_is_its_inside_in_the_image_as_the_model_is_fed():
    inferencer = made("rcnet_retinanet", **BOXES)
    (found,) = explained(inferencer, target="3")
    left, top, right, bottom = map(int, re.findall(r"\d+", found.said.partition(" at ")[2]))
    rows, columns = np.nonzero(found.region)
    scale = found.image.shape[1] / 93
    expected = np.array([top, bottom, left, right]) * scale
    assert np.abs([rows.min(), rows.max() + 1, columns.min(), columns.max() + 1] - expected).max() <= scale + 1
    sheet = Explainer(inferencer).sheet(found)
    without = Explainer(inferencer).sheet(replace(found, region=np.zeros_like(found.region)))
    assert (sheet[:390] != without[:390]).any()


def test_the_best_class_is_that_of_the_prediction():
    inferencer = made("dinat_mini_imagenet")
    result = inferencer.one(noisy()).result
    (found,) = explained(inferencer)
    assert found.said == f"logit of {result.name_of(int(result.labels[0]))}"


def test_targets_by_name_number_and_rank():
    inferencer = made("rcnet_retinanet", **BOXES)
    result = inferencer.one(noisy(), score_threshold=0.0).result
    second = explained(inferencer, target="2")[0]
    assert second.value == pytest.approx(np.log(result.scores[1] / (1 - result.scores[1])), rel=1e-4)
    name = inferencer.class_names[int(result.labels[1])]
    assert f"the box of {name} at" in explained(inferencer, target=name)[0].said
    classes = made("dinat_mini_imagenet")
    assert explained(classes, target="goldfish")[0].value == explained(classes, target="1")[0].value
    lanes = made("scnn_culane")
    assert "lane slot 2" in explained(lanes, target="2")[0].said


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("dinat_mini_imagenet", "goldfisch", "no class is called 'goldfisch'; did you mean 'goldfish'"),
        ("dinat_mini_imagenet", "1000", "or a number from 0 to 999"),
        ("rcnet_retinanet", "persn", "did you mean 'person'"),
        ("scnn_culane", "4", "no lane slot is called '4'; use a number from 0 to 3"),
        ("dinat_upernet_ade20k", "999", "no class is called '999'"),
        ("mask2former_r50_coconut", "persn", "did you mean 'person'"),
    ],
)
def test_an_unknown_target_is_an_error(name, target, message):
    with pytest.raises(UnknownName, match=message):
        explained(made(name, **(BOXES if "retinanet" in name else {})), target=target)


@pytest.mark.parametrize("name", ["hmode_shanghaitech_a", "connnet_binary_r50", "lavt_refcoco"])
def test_a_target_for_a_task_with_one_is_an_error(name):
    with pytest.raises(ConfigError, match=r"--target: expected none for .*leave it out to explain"):
        explained(made(name), reading=TEXT if "lavt" in name else None, target="1")


def test_a_box_that_is_not_found_is_the_error_of_its_input():
    inferencer = made("rcnet_retinanet", **{"model.test_cfg.score_thr": 0.999})
    (found,) = explained(inferencer)
    assert "finds no box in this input" in str(found.error)
    assert "--cfg-options model.test_cfg.score_thr=0" in str(found.error)
    assert "box 7: expected the rank of a box, from 1, found no box" in str(explained(inferencer, target="7")[0].error)


def test_registration_has_no_value_to_explain():
    inferencer = made("voxelmorph_2d")
    with pytest.raises(ConfigError, match="registration: expected a task with one value to explain"):
        Explainer(inferencer)


@pytest.mark.parametrize(("task", "said"), [("classification", "logit of"), ("counting", "count")])
def test_a_head_of_several_is_explained_like_a_model_with_this_head(task, said):
    inferencer = made("bossnet_t0_imagenet", **{**SEVERAL, "task": task})
    alone = made("bossnet_t0_imagenet", **{"task": task, "model.head": SEVERAL["model.heads"][task]})
    for key, value in alone.model.state_dict().items():
        value.copy_(inferencer.model.state_dict()[key.replace("head.", f"heads.{task}.", 1)])
    (found,), (expected,) = explained(inferencer), explained(alone)
    assert said in found.said
    assert found.value == pytest.approx(expected.value)
    np.testing.assert_allclose(found.map, expected.map, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "task", "options"),
    [
        ("rcnet_retinanet", "detection", BOXES),
        pytest.param("rcnet_mask_rcnn", "instances", REGIONS, marks=pytest.mark.slow),
        pytest.param("mask2former_r50_coco_instance", "instances", {}, marks=pytest.mark.slow),
        ("mask2former_r50_coconut", "panoptic", {}),
        pytest.param("dinat_upernet_ade20k", "semantic", {}, marks=pytest.mark.slow),
    ],
)
def test_a_library_head_of_several_is_explained_like_its_library_model(name, task, options):
    alone = made(name, **options)
    loaded = load_config(name, tiny=True, options=options)
    joint = heads_by_name(loaded.cfg.model, task)
    counting = {"type": "DensityHead", "variant": "tiny"}
    loaded.cfg.model = ConfigDict({**joint.model, "heads": {**joint.model["heads"], "counting": counting}})
    loaded.cfg.task = [task, "counting"]
    inferencer = Inferencer(loaded, "none", device="cpu", tasks=task)
    inferencer.model.load_state_dict(joint.renamed(alone.model.state_dict()), strict=False)
    (found,), (expected,) = explained(inferencer), explained(alone)
    assert found.said == expected.said
    assert found.value == pytest.approx(expected.value)
    np.testing.assert_allclose(found.map, expected.map, atol=1e-5)


def test_a_model_of_several_tasks_needs_one():
    with pytest.raises(ConfigError, match="expected a model of one task"):
        Explainer(Inferencer("road_scene_lite", "none", tiny=True, device="cpu"))


@pytest.mark.parametrize(
    ("name", "task", "path"),
    [
        ("road_scene_lite", "detection", "model.heads.detection.test_cfg.score_thr"),
        ("rcnet_mask_rcnn", "instances", "model.test_cfg.rcnn.score_thr"),
    ],
)
def test_the_advice_for_an_image_without_a_box_is_an_option_that_finds_one(name, task, path):
    settings = dict(tiny=True, device="cpu", tasks=task)
    inferencer = Inferencer(name, "none", options={path: 0.999}, **settings)
    (found,) = explained(inferencer)
    assert f"--cfg-options {path}=0 keeps boxes of any score" in str(found.error)
    (found,) = explained(Inferencer(name, "none", options={path: 0}, **settings))
    assert "log-odds of the box of" in found.said


def test_a_mask_without_a_box_is_named_by_its_pixels_and_has_its_whole_slope(monkeypatch):
    """DecoupledSOLOHead detaches the scores of its classes, but not its masks, which are a factor of the scores."""
    options = {"task": "detection", "model.heads": None, "model.loss_weighting": None, "model.head": SOLO}
    explainer = Explainer(made("road_scene_lite", **options))
    (found,) = explainer(explainer.inferencer.prepare.inputs.sources_of([noisy()]))
    assert re.fullmatch(r"log-odds of the mask of \w+ over [\d,]+ pixels", found.said)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    by_gradient, by_difference = slopes(explainer, fed_in_double(explainer, [noisy()]))
    assert by_difference == pytest.approx(by_gradient, rel=1e-4)


def test_one_logit_of_two_classes_is_explained_by_the_predicted_map():
    """mmseg returns the probability of the second class instead of its logit, and a threshold decides."""
    head = {"type": "mmseg.FCNHead", "channels": 4, "num_convs": 1, "num_classes": 2, "out_channels": 1}
    head |= {"threshold": 0.01, "in_index": -1}
    inferencer = made("connnet_r50", **{"task": "semantic", "model.head": head})
    labels = inferencer.one(noisy()).result.labels
    (found,) = explained(inferencer, target="1")
    pixels = int(re.search(r"over ([\d,]+) pixels", found.said)[1].replace(",", ""))
    assert pixels == (labels == 1).sum() > 0
    (other,) = explained(inferencer, target="0")
    assert "because the region is empty" in other.said
    assert found.value == pytest.approx(-other.value, abs=5)


@pytest.mark.slow
def test_methods_and_layers_differ_and_a_part_after_regions_is_refused():
    inferencer = made("rcnet_mask_rcnn", **REGIONS)
    first = explained(inferencer)[0]
    assert np.abs(first.map - explained(inferencer, method="grad-cam++")[0].map).max() > 1e-3
    assert explained(inferencer, layer="neck:0")[0].shape != first.shape
    with pytest.raises(ConfigError, match=r"layer roi_head.bbox_roi_extractor: expected one feature map for each"):
        explained(inferencer, layer="roi_head.bbox_roi_extractor")
    with pytest.raises(UnknownName, match=r"did you mean 'backbone\.layer1'"):
        explained(inferencer, layer="backbone.layr1")


def test_other_axes_of_a_layer_by_an_option():
    inferencer = made("dinat_mini_imagenet")
    found = explained(inferencer, layer="backbone.levels.0.blocks.0", layout="channels-last")[0]
    assert found.map.max() == 1 or found.is_zero
    assert found.shape[1:] == (16, 16)


def test_padding_is_cut_and_an_unreadable_image_does_not_stop_the_others(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    inferencer = made("rcnet_retinanet", **BOXES)
    first, bad, last = explained(inferencer, [noisy(), str(tmp_path / "bad.png"), noisy(41, 30)])
    assert "cannot be decoded" in str(bad.error)
    assert bad.record() == {"input": bad.source.name, "error": str(bad.error)}
    assert first.image.shape[1] / first.image.shape[0] == pytest.approx(93 / 61, rel=0.05)
    assert last.image.shape[1] / last.image.shape[0] == pytest.approx(30 / 41, rel=0.05)


def cells():
    image = np.full((120, 160, 3), (205, 200, 175), np.uint8)
    for x, y in ((40, 40), (90, 30), (125, 60), (80, 75), (30, 95), (135, 105)):
        cv2.circle(image, (x, y), 12, (195, 140, 125), -1)
    return image


def test_random_weights_change_the_map_of_a_trained_model():
    """The check of Adebayo et al. 2018, with weights that the package brings; the same weights give the same map."""
    inferencer = Inferencer("cells_density_lite", device="cpu")
    sources = list(inferencer.prepare.inputs.sources_of([cells()]))
    settings = dict(layer="backbone:1", method="grad-cam++", sanity="all")
    (first,), (again,) = (Explainer(inferencer, **settings)(sources) for _ in range(2))
    assert rank_correlation(first.map, again.map) == pytest.approx(1)
    assert first.checks[0].correlation < 0.5
    assert first.checks[0].correlation == again.checks[0].correlation


def test_the_check_finds_a_map_that_does_not_depend_on_the_weights(monkeypatch):
    """With the weights of the model instead of random ones, the correlation is 1."""
    monkeypatch.setattr(explaining, "random_stages", lambda model, sanity, seed: iter(["the input"]))
    inferencer = Inferencer("cells_density_lite", device="cpu")
    (found,) = explained(inferencer, [cells()], layer="backbone:1", sanity="all")
    assert found.checks[0].correlation == pytest.approx(1)


def test_random_weights_that_find_no_target_are_stated():
    """The score threshold that hides every box with random weights is in the reason."""
    inferencer = made("rcnet_retinanet", **BOXES)
    score = inferencer.one(noisy(), score_threshold=0.0).result.scores[0]
    inferencer.model.bbox_head.test_cfg.score_thr = float(score) * 0.999
    inferencer.config.model.test_cfg.score_thr = float(score) * 0.999
    (found,) = explained(inferencer, sanity="cascading")
    lost = [check for check in found.checks if check.map is None]
    assert lost
    assert all(check.said == "no map" and check.correlation is None for check in lost)
    assert "model.test_cfg.score_thr=0 keeps boxes of any score" in lost[0].record()["error"]
    assert Explainer(inferencer).sheet(found).dtype == np.uint8


@pytest.mark.parametrize("name", ["dinat_mini_imagenet", "connnet_binary_r50"])
def test_a_sheet_shows_input_map_title_and_random_weights(name):
    explainer = Explainer(made(name), sanity="all")
    (found,) = explainer(explainer.inferencer.prepare.inputs.sources_of([noisy()]))
    plain = explainer.sheet(found.__class__(**{**vars(found), "checks": ()}))
    sheet = explainer.sheet(found)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] > plain.shape[1]
    assert [check.part for check in found.checks] == ["the input"]
