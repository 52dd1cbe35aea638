"""The whole check: correct configs pass, and every error names its place and the nearest valid name."""

from __future__ import annotations

import pytest

from visionzoo.config import check_config, config_names, load_config, require_valid
from visionzoo.errors import ConfigError


def problems(path, *options, allow_new=True):
    return check_config(load_config(path, options=options, allow_new=allow_new))


def test_right_config_has_no_problem(detector):
    assert problems(detector) == []
    require_valid(load_config(detector))


@pytest.mark.parametrize("name", config_names())
@pytest.mark.parametrize("tiny", [False, True])
def test_released_config_is_right(name, tiny):
    assert check_config(load_config(name, tiny=tiny)) == []


@pytest.mark.parametrize(
    ("option", "line"),
    [
        (
            "model.neck.out_chanels=8",
            '--cfg-options: model.neck.out_chanels: FPN has no argument "out_chanels"; did you mean out_channels? '
            "(accepts: in_channels, out_channels, num_outs, start_level, end_level, add_extra_convs, ",
        ),
        ("model.backbone.type=mmdet.ResNot", "no model is called 'mmdet.ResNot'; did you mean mmdet.ResNet?"),
        ("model.backbone.type=ResNet", "no model is called 'ResNet'; write mmdet.ResNet"),
        ("model.backbone.type=mmdte.ResNet", "no model is called 'mmdte.ResNet'; did you mean mmdet?"),
        ("model.backbone.type=timm.resnt18", "no model is called 'timm.resnt18'; did you mean timm.resnet18?"),
        (
            "model.backbone.type=LoggerHook",
            "model.backbone.type: expected the name of a model, but 'LoggerHook' is not a model",
        ),
        ("model.neck.num_outs=five", "num_outs: expected a whole number from 1 to 1,024"),
        ("model.test_cfg.nms.iou_treshold=0.5", "did you mean iou_threshold?"),
        ("model.test_cfg.nms.type=nmz", "no model is called 'nmz'"),
        ("model.train_cfg.assigner.pos_iou=0.5", 'MaxIoUAssigner has no argument "pos_iou"'),
        ("model.bbox_head.anchor_generator.ratio=[1.0]", "did you mean ratios?"),
        ("model.backbone.norm_cfg.require_grad=True", 'has no argument "require_grad"'),
        ("optim_wrapper.optimizer.momentun=0.9", "did you mean momentum?"),
        ("optim_wrapper.optimizer.type=LoggerHook", "name of an optimizer, but 'LoggerHook' is not an optimizer"),
        ("optim_wrapper.optimizer.type=SDG", "no optimizer is called 'SDG'; did you mean SGD?"),
        ("default_hooks.logger.intervall=5", "did you mean interval?"),
        ("custom_hooks.0.type=EMAHok", "did you mean EMAHook?"),
        ("param_scheduler.0.milestone=[1]", "did you mean milestones?"),
        ("train_dataloader.batchsize=2", 'train_dataloader has no key "batchsize"; did you mean batch_size?'),
        ("train_dataloader.dataset.pipeline.2.scal=(1, 1)", "train_dataloader.dataset.pipeline.2.scal: Resize has no"),
        ("train_dataloader.dataset.test_mod=True", "did you mean test_mode?"),
        ("train_cfg.max_epoch=3", "did you mean max_epochs?"),
        ("randomness.sed=1", "did you mean seed?"),
        ("max_epochs=3", 'a config has no key "max_epochs"; write train_cfg = dict(max_epochs=...)'),
        ("optim_wraper.type=OptimWrapper", 'a config has no key "optim_wraper"; did you mean optim_wrapper?'),
        ("model.backbone._scope_=mmdet", "write the scope in front of each type"),
        ("val_cfg.type=ValLoop", "needs val_dataloader and val_evaluator as well"),
        ("val_cfg.type=ValLoop", "add the missing keys or remove val_cfg"),
        ("custom_imports.imports=['nowhere_at_all']", "'nowhere_at_all' cannot be imported"),
    ],
)
def test_one_mistake_is_one_line(detector, option, line):
    lines = problems(detector, option)
    assert any(line in text for text in lines), lines
    assert all(text.startswith("--cfg-options: ") for text in lines), lines
    assert all("\n" not in text for text in lines)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("out_channels=16, ", "", 'd.py: model.neck: FPN needs the argument "out_channels"; add it'),
        ('"mmdet.FPN", out_channels', '"mmdet.FPN", out_chanels', "did you mean out_channels?"),
        ('neck=dict(type="mmdet.FPN", ', "neck=dict(", "expected a dict with a type, found one without a type"),
        ("backbone=dict(\n        type=", "backbone=dict(\n        typ=", "did you mean type instead of typ?"),
        (
            'dict(type="mmdet.DeltaXYWHBBoxCoder")',
            '"mmdet.DeltaXYWHBBoxCoder"',
            "expected a dict with a type, found",
        ),
        ('dict(type="mmdet.PackDetInputs")', 'dict(type="PackTrackInputs")', "write mmdet.PackTrackInputs"),
        ('checkpoint="torchvision://resnet50"', "", 'needs the argument "checkpoint"'),
        ("max_epochs=2", "", 'EpochBasedTrainLoop needs the argument "max_epochs"'),
        ("milestones=[1], ", "", 'needs the argument "milestones"'),
        ('optimizer=dict(type="SGD", lr=0.01, momentum=0.9), ', "", 'OptimWrapper needs the argument "optimizer"'),
        ('type="mmdet.CocoDataset"', "type=3", "expected a type's name as a string, found 3"),
        ("\nmodel = ", "\nmodle = ", "a config needs a model"),
    ],
)
def test_mistake_in_the_file_is_named_with_the_file(detector, old, new, line):
    text = detector.read_text()
    assert old in text
    detector.write_text(text.replace(old, new))
    lines = problems(detector)
    assert any(line in each for each in lines), lines
    assert all(each.startswith("d.py: ") for each in lines), lines


def test_misspelt_required_argument_is_reported_once(detector):
    detector.write_text(detector.read_text().replace('"mmdet.FPN", out_channels', '"mmdet.FPN", out_chanels'))
    assert len(problems(detector)) == 1


def test_all_problems_come_at_once_under_one_sentence(detector):
    options = ["model.neck.out_chanels=8", "optim_wrapper.optimizer.momentun=1", "train_cfg.max_epoch=1"]
    with pytest.raises(ConfigError) as caught:
        require_valid(load_config(detector, options=options, allow_new=True))
    first, *rest = str(caught.value).splitlines()
    assert first == "d.py: expected a config that can be built, found 3 problems; fix them and run again"
    assert len(rest) == len(caught.value.problems) == 3


def test_slip_is_found_even_where_a_part_takes_any_argument(detector):
    options = ["model.backbone.type=timm.resnet18", "model.backbone.drop_path_rate=0.1"]
    assert problems(detector, *options) == []
    (line,) = problems(detector, *options, "model.backbone.pretrianed=True")
    assert "did you mean pretrained?" in line


def test_plain_values_can_be_checked_without_a_file(detector):
    cfg = load_config(detector).cfg
    assert check_config(cfg) == []
    cfg.model.neck.wrong = 1
    assert check_config(cfg)[0].startswith("config: model.neck.wrong: FPN has no argument")


def test_user_part_through_custom_imports(detector, write, monkeypatch, tmp_path):
    write(
        "my_zoo_part.py",
        "from mmdet.models.necks import FPN\nfrom visionzoo.registry import MODELS\n\n\n"
        "@MODELS.register_module()\nclass MyZooNeck(FPN):\n    def __init__(self, *, twist, **kwargs):\n"
        "        super().__init__(**kwargs)\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = {
        "custom_imports": {"imports": ["my_zoo_part"]},
        "model.neck": {"type": "MyZooNeck", "twist": 1, "out_channels": 16, "num_outs": 5},
    }
    assert check_config(load_config(detector, options=options)) == []
    options["model.neck"] = {"type": "MyZooNeck", "twists": 1, "out_channels": 16, "num_outs": 5}
    lines = check_config(load_config(detector, options=options, allow_new=True))
    assert "did you mean twist? (accepts: twist, in_channels" in lines[0]


def test_a_list_where_the_model_takes_one_part():
    """Regression: such a config passed the check, and building it raised a traceback."""
    head = dict(type="ClassificationHead")
    model = dict(type="TaskModel", backbone=dict(type="BossNet"), head=[head], auxiliary_head=[head])
    expected = "config: model.head: expected a dict with a type, found a list; TaskModel takes one head"
    assert check_config(dict(task="classification", model=model)) == [expected]


HEADS = dict(lanes=dict(type="SCNNHead"), counting=dict(type="DensityHead"))
BY_NAME = "model.heads: expected a dict of heads by name"


@pytest.mark.parametrize(
    ("task", "changes", "expected"),
    [
        ("lanes", dict(heads=None), "model: expected either head or heads, found neither; give one of the two"),
        ("lanes", dict(head=HEADS["lanes"]), "model: expected either head or heads, found both; give one of the two"),
        ("lanes", dict(heads=[HEADS["lanes"]]), f"{BY_NAME}, found a list; write heads=dict(NAME=dict(type=...))"),
        ("lanes", dict(heads=HEADS["lanes"]), f"{BY_NAME}, found a single head; give it as head"),
        ("lanes", dict(heads=dict(lanes={})), "model.heads.lanes: expected a dict with a type, found one without a"),
        ("lanes", dict(heads=dict(lanes=3)), "model.heads.lanes: expected a dict with a type, found 3"),
        (("lanes", "saliency"), {}, "task: no head in model.heads is called saliency; add the head, or name one task"),
        (("lanes", "lane"), {}, "task: no task is called 'lane'; did you mean lanes?"),
        ("xyz", {}, "task: no task is called 'xyz'; choose one of "),
    ],
)
def test_several_heads_are_checked(task, changes, expected):
    model = dict(type="TaskModel", backbone=dict(type="BossNet"), heads=HEADS) | changes
    problems = check_config(dict(task=task, model=model))
    assert any(line.startswith(f"config: {expected}") for line in problems), problems


def test_several_heads_are_right():
    model = dict(type="TaskModel", backbone=dict(type="BossNet"), heads=HEADS)
    assert check_config(dict(task=("lanes", "counting"), model=model)) == []
    assert check_config(dict(task="lanes", model=model)) == []
