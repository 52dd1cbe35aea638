"""``--cfg-options``: values, paths, parts whose type changes, and every kind of typing error."""

from __future__ import annotations

import itertools

import pytest

from visionzoo.config import load_config
from visionzoo.config.options import parse_options
from visionzoo.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("None", None),
        ("1e-3", 1e-3),
        ("-1", -1),
        ("True", True),
        ("[1,2]", [1, 2]),
        ("(1, 2)", (1, 2)),
        ("1,2", (1, 2)),
        ("{'a': [1]}", {"a": [1]}),
        ("dict(type='GN', args=[dict(n=32), None])", {"type": "GN", "args": [{"n": 32}, None]}),
        ("dict()", {}),
        ("dict", "dict"),
        ("print(1)", "print(1)"),
        ("'quoted'", "quoted"),
        ("timm.resnet18", "timm.resnet18"),
        ("tiny://coco?train=16&val=8", "tiny://coco?train=16&val=8"),
        ("", ""),
        ("true", "true"),
        ("b'x'", "b'x'"),
        ("...", "..."),
    ],
)
def test_values_are_literals_or_strings(text, value):
    assert parse_options([f"a.b={text}"]) == {("a", "b"): value}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["model.neck"], "found no `=`"),
        (["=3"], "found an empty key"),
        (["model..neck=3"], "found an empty key"),
        (["a.b=1", "a.b=2"], "expected one value, found 1 and 2"),
        (["heads={'a': 1, 'a': 2}"], "option heads: expected each key of a dict once, found 'a' twice; remove one"),
        (["x=[dict(heads=dict(a=1, a=2))]"], "option x: expected each key of a dict once, found 'a' twice"),
        (["a=[x, y]"], "quote the strings"),
        (["a=dict(b=x)"], "quote the strings"),
        (["a=dict([(1, 2)])"], "quote the strings"),
        (["a=dict(**{'b': 1})"], "quote the strings"),
        (["a={1, 2}"], "found set"),
        ({"a": object()}, "found object"),
        ({"a": [{"b": print}]}, "found builtin_function_or_method"),
    ],
)
def test_malformed_option(options, says):
    with pytest.raises(ConfigError) as caught:
        parse_options(options)
    assert str(caught.value).startswith("option ")
    assert says in str(caught.value)


def test_same_value_twice_is_not_a_conflict():
    assert parse_options(["a=1", "a=1"]) == {("a",): 1}


def test_list_items_tuples_and_origins(detector):
    options = ["train_dataloader.dataset.pipeline.2.scale=(32, 48)", "model.backbone.out_indices.3=2"]
    loaded = load_config(detector, options=options)
    assert loaded.cfg.train_dataloader.dataset.pipeline[2].scale == (32, 48)
    assert loaded.cfg.model.backbone.out_indices == (0, 1, 2, 2)
    assert loaded.origins.of("train_dataloader.dataset.pipeline.2.scale") == "--cfg-options"
    assert loaded.origins.of("train_dataloader.dataset.pipeline.1.type") == "d.py"


def test_mapping_in_python_merges_dicts(detector):
    loaded = load_config(detector, options={"model.neck": {"num_outs": 4}, "randomness.seed": 3})
    assert loaded.cfg.model.neck.num_outs == 4
    assert loaded.cfg.model.neck.out_channels == 16
    assert loaded.cfg.randomness.seed == 3
    assert loaded.notes == []


def test_type_override_drops_the_old_arguments_with_a_note(detector):
    loaded = load_config(detector, options=["model.backbone.type=timm.resnet18"])
    assert loaded.cfg.model.backbone.to_dict() == {"type": "timm.resnet18"}
    assert loaded.notes == [
        "model.backbone: mmdet.ResNet -> timm.resnet18, "
        "dropped depth, out_indices, norm_cfg, dcn, stage_with_dcn, init_cfg"
    ]
    assert loaded.replaced["model.backbone"]["depth"] == 50
    assert loaded.replaced["model.backbone"]["type"] == "mmdet.ResNet"
    assert loaded.origins.of("model.backbone.type") == "--cfg-options"


@pytest.mark.parametrize(
    ("new", "kept", "note"),
    [
        ("DiNAT", {"variant": "tiny"}, "kept variant, dropped window"),
        ("mmdet.ResNet", {}, "dropped variant, window"),
    ],
)
def test_a_part_of_a_tiny_model_stays_tiny(write, new, kept, note):
    path = write("a.py", "model = dict(backbone=dict(type='BossNet', variant='tiny', window=3))\n")
    loaded = load_config(path, options=[f"model.backbone.type={new}"])
    assert loaded.cfg.model.backbone.to_dict() == {"type": new, **kept}
    assert loaded.notes == [f"model.backbone: BossNet -> {new}, {note}"]


def test_arguments_given_with_the_type_stay_in_any_order(detector):
    options = [
        "model.backbone.depth=18",
        "model.backbone.type=mmdet.ResNeXt",
        "model.backbone.norm_cfg.type=GN",
        "model.backbone.norm_cfg.num_groups=4",
    ]
    for order in itertools.permutations(options):
        loaded = load_config(detector, options=order)
        assert loaded.cfg.model.backbone.to_dict() == {
            "type": "mmdet.ResNeXt",
            "depth": 18,
            "norm_cfg": {"type": "GN", "num_groups": 4},
        }
        assert loaded.notes == [
            "model.backbone: mmdet.ResNet -> mmdet.ResNeXt, dropped out_indices, dcn, stage_with_dcn, init_cfg"
        ]


def test_same_type_drops_nothing(detector):
    loaded = load_config(detector, options=["model.neck.type=mmdet.FPN", "model.neck.num_outs=4"])
    assert loaded.cfg.model.neck.out_channels == 16
    assert loaded.replaced == {}


def test_whole_part_as_a_dict_literal(detector):
    loaded = load_config(detector, options=["optim_wrapper.optimizer={'type': 'AdamW', 'lr': 1e-4}"])
    assert loaded.cfg.optim_wrapper.optimizer.to_dict() == {"type": "AdamW", "lr": 1e-4}
    assert loaded.notes == ["optim_wrapper.optimizer: SGD -> AdamW, dropped momentum"]


def test_options_come_after_tiny(write):
    path = write("a.py", "train_cfg = dict(max_epochs=12)\ntiny = dict(train_cfg=dict(max_epochs=2))\n")
    loaded = load_config(path, tiny=True, options=["train_cfg.max_epochs=1"])
    assert loaded.cfg.train_cfg.max_epochs == 1


@pytest.mark.parametrize(
    "option",
    [
        "model.backbone.frozen_stages=-1",
        "optim_wrapper.optimizer.nesterov=True",
        "train_dataloader.prefetch_factor=4",
        "val_dataloader.batch_size=2",
        "model.bbox_head.loss_bbox.type=mmdet.L1Loss",
        "work_dir=out",
        "load_from=x.pth",
        "custom_hooks.0.priority=50",
    ],
)
def test_keys_that_the_part_takes_need_not_be_in_the_config(detector, option):
    path, _, text = option.partition("=")
    node = load_config(detector, options=[option]).cfg.to_dict()
    for key in path.split("."):
        node = node[int(key) if key.isdigit() else key]
    assert str(node) == text


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("model.nck.num_outs=4", "found no model.nck; did you mean model.neck?"),
        ("model.backbone.dept=18", "did you mean model.backbone.depth?"),
        ("model.backbone.frozen_stage=1", "did you mean model.backbone.frozen_stages?"),
        ("optim_wraper.optimizer.lr=1", "did you mean optim_wrapper?"),
        ("train_dataloader.batchsize=1", "did you mean train_dataloader.batch_size?"),
        ("model.backbone.depth.x=1", "expected a dict at model.backbone.depth, found 50"),
        (
            "train_dataloader.dataset.pipeline.9.scale=1",
            "an index into train_dataloader.dataset.pipeline (0 to 3)",
        ),
        ("train_dataloader.dataset.pipeline.scale=1", "found 'scale'"),
        ("model.backbone=timm.resnet18", "did you mean model.backbone.type=timm.resnet18?"),
    ],
)
def test_wrong_path_names_the_nearest(detector, option, says):
    with pytest.raises(ConfigError) as caught:
        load_config(detector, options=[option])
    message = str(caught.value)
    assert message.startswith(f"option {option.partition('=')[0]}")
    assert says in message
    assert "\n" not in message


def test_allow_new_adds_only_possible_keys(detector):
    loaded = load_config(detector, options=["notes.author=me"], allow_new=True)
    assert loaded.cfg.notes.author == "me"
    with pytest.raises(ConfigError, match="expected an index"):
        load_config(detector, options=["train_dataloader.dataset.pipeline.9.x=1"], allow_new=True)
