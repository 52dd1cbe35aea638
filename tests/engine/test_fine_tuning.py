"""Fine-tuning as users do it: a new head, frozen parts that stay equal to the bit, a linear probe, rates by layer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import DefaultScope
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from visionzoo.cli import main
from visionzoo.config import load_config
from visionzoo.engine.depths import layer_depths, stage_depths
from visionzoo.engine.freezing import FrozenNormsHook, FrozenPartsHook, freeze, trained_share
from visionzoo.engine.rates import rates_table
from visionzoo.errors import ConfigError
from visionzoo.registry import OPTIM_WRAPPER_CONSTRUCTORS

TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
FAST = ("--tiny", "--no-progress", "--epochs", "1", "--batch-size", "4", "--workers", "0", "--device", "cpu")


def folders(root: Path, *classes: str) -> Path:
    """Write two images of 40 x 32 for training and one for validation into a folder for each class."""
    for number, name in enumerate(classes):
        for split, count in (("train", 2), ("val", 1)):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                colour = (60 * number, 40 * index, 90)
                Image.new("RGB", (40, 32), colour).save(root / split / name / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return weights of four classes whose file states no classes, as a released one."""
    root = tmp_path_factory.mktemp("released")
    data = folders(root / "data", "ant", "bee", "cat", "dog")
    run = root / "run"
    assert main(["train", "bossnet_t0_imagenet", *FAST, "-q", "--data", str(data), "-o", str(run)]) == 0
    tensors = load_file(next(run.glob("best_*.safetensors")))
    save_file(tensors, root / "released.safetensors")
    return root / "released.safetensors"


@pytest.fixture
def tune(released: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str]]:
    """Fine-tune the released weights on two other classes: exit code and messages."""

    def run(*words: str, where: str = "tuned") -> tuple[int, str]:
        data = tmp_path / "own"
        if not data.exists():
            folders(data, "owl", "pig")
        line = ["train", "bossnet_t0_imagenet", *FAST, "--weights", str(released), "--data", str(data)]
        code = main([*line, "-o", str(tmp_path / where), *words])
        return code, capsys.readouterr().err

    return run


def trained(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "epoch_1.pth", weights_only=True)["state_dict"]


def test_other_classes_need_a_new_head_and_the_error_names_the_option(tune: Callable) -> None:
    code, said = tune()
    assert code == 2
    assert "only the number of classes differs" in said.splitlines()[-1] or "--replace-head" in said
    assert "--replace-head" in said


def test_a_linear_probe_on_released_weights_changes_only_the_linear_layer(
    tune: Callable, released: Path, tmp_path: Path
) -> None:
    code, said = tune("--replace-head", "--linear-probe", "--num-classes", "2")
    assert code == 0, said
    assert "2 tensors start with new values: head.fc.bias, head.fc.weight" in said.splitlines()
    (line,) = [line for line in said.splitlines() if line.startswith("linear probe: ")]
    after, before = trained(tmp_path / "tuned"), load_file(released)
    count = sum(after[f"head.fc.{name}"].numel() for name in ("weight", "bias"))
    assert line.startswith(f"linear probe: only head.fc.bias, head.fc.weight learn; {count:,} of ")
    assert line.endswith(" parameters train")
    assert after["head.fc.weight"].shape[0] == 2
    for name, value in before.items():  # also the running statistics of norms
        assert name.startswith("head.fc.") or torch.equal(after[name], value), name
    saved = load_config(tmp_path / "tuned").cfg
    assert (saved.linear_probe, saved.num_classes) == (True, 2)
    assert json.loads((tmp_path / "tuned" / "run.json").read_text())["replace_head"] is True
    assert main(["train", "--resume", str(tmp_path / "tuned"), "--epochs", "2", "-q"]) == 0
    resumed = torch.load(tmp_path / "tuned" / "epoch_2.pth", weights_only=True)["state_dict"]
    assert [name for name in after if not torch.equal(resumed[name], after[name])] == ["head.fc.weight", "head.fc.bias"]
    assert main(["test", str(tmp_path / "tuned"), "-q"]) == 0


def test_frozen_stages_stay_equal_and_the_rest_learns(tune: Callable, released: Path, tmp_path: Path) -> None:
    code, said = tune("--replace-head", "--freeze", "backbone.stem", "backbone.stages.0", "--layer-decay", "0.5")
    assert code == 0, said
    after, before = trained(tmp_path / "tuned"), load_file(released)
    frozen = [name for name in before if name.startswith(("backbone.conv1", "backbone.bn1", "backbone.layer1"))]
    assert len(frozen) > 10
    assert all(torch.equal(after[name], before[name]) for name in frozen)
    moving = [name for name in before if name.startswith("backbone.layer4") and name.endswith("running_mean")]
    assert moving
    assert not any(torch.equal(after[name], before[name]) for name in moving)
    assert any(line.startswith("frozen: ") and "parameters train" in line for line in said.splitlines())
    groups = torch.load(tmp_path / "tuned" / "epoch_1.pth", weights_only=True)["optimizer"]["param_groups"]
    rates = {group["initial_lr"] for group in groups}
    assert len(rates) == 6  # stem, four blocks, head; each half of the next one
    assert max(rates) / min(rates) == pytest.approx(32)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--freeze", "backbne.layer1"),
            "freeze: expected a pattern that matches a parameter or a part, found 'backbne",
        ),
        (("--freeze", "backbone.stages.9"), "the backbone has backbone.stages.0 to backbone.stages.3"),
        (("--layer-decay", "0"), "--layer-decay: expected a number above 0 and of at most 1, found 0"),
        (("--layer-decay", "1.5"), "--layer-decay: expected a number above 0 and of at most 1, found 1.5"),
        (("--head-lr-multiplier", "-1"), "--head-lr-multiplier: expected a number above 0, found -1"),
        (("--early-stop", "-1"), "--early-stop: expected a whole number of at least 1"),
        (("--early-stop", "3", "--patience", "3"), "--patience: expected one option that sets early_stopping"),
        (("--num-classes", "0"), "--num-classes: expected a whole number of at least 1"),
        (("--num-classes", "7"), "--num-classes: expected the 2 classes of the data (owl, pig), found 7"),
        (("--linear-probe", "--freeze", "neck"), "linear_probe: expected a config without freeze, found ['neck']"),
        (("--cfg-options", "optim_wrapper.constructor=Other", "--layer-decay", "0.5"), "LayerDecay, found Other"),
    ],
)
def test_wrong_use_is_one_sentence(tune: Callable, words: tuple[str, ...], says: str) -> None:
    code, said = tune("--replace-head", *words, "--dry-run")
    assert code == 2
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert says in errors[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("hmode_nwpu", "--linear-probe"), "linear_probe: expected data with classes, found data without"),
        (
            ("rcnet_retinanet", "--replace-head"),
            "--replace-head: expected --weights, whose head is replaced, found none",
        ),
        (
            ("rcnet_retinanet", "--early-stop", "3", "--cfg-options", "val_dataloader=None", "val_cfg=None"),
            "--early-stop: expected a config with val_dataloader, found none; leave --early-stop out",
        ),
    ],
)
def test_options_that_do_not_fit_the_config(
    words: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    code = main(["train", words[0], "--tiny", "-o", str(tmp_path / "run"), "--no-progress", *words[1:]])
    said = capsys.readouterr().err
    assert code == 2
    assert says in next(line for line in said.splitlines() if line.startswith("error: "))
    assert not (tmp_path / "run").exists()


# --- parts by name ---


class Trunk(nn.Module):
    """A stem, two stages (of two blocks and of one), a norm after them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 4, 1)
        self.stages_0 = nn.Sequential(self._block(), self._block())
        self.stages_1 = nn.Sequential(self._block())
        self.norm = nn.BatchNorm2d(4)

    @staticmethod
    def _block() -> nn.Module:
        return nn.Sequential(nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)))


class Net(nn.Module):
    """A model with a backbone, a neck and a head with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Trunk()
        self.neck = nn.Conv2d(4, 4, 1)
        self.head = nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Linear(4, 3))
        self.data_preprocessor = nn.Sequential(nn.Dropout(0.1))


def hooked(hook: Any, model: nn.Module) -> nn.Module:
    """Return the model as it is in a training iteration with the hook."""
    runner = type("Runner", (), {"bare_model": model.train()})()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    return model


def test_stages_and_stem_by_number() -> None:
    trunk = Trunk()
    assert [list(each) for each in stage_depths(trunk)] == [[1, 2], [3]]
    assert layer_depths(trunk)["norm.weight"] == 3
    net = Net()
    frozen = freeze(net, ["backbone.stem", "backbone.stages.1.*", "neck"])
    assert {name.split(".")[1] for name in frozen if name.startswith("backbone")} == {"conv_stem", "stages_1", "norm"}
    assert trained_share(net) == "71 of 139 parameters train"  # two blocks of 16 + 8, a norm of 8, 15 of the head


def test_norms_of_frozen_parts_are_in_evaluation_mode() -> None:
    net = hooked(FrozenNormsHook(["backbone.stages.0"]), Net())
    modes = {name: module.training for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert [name for name, is_training in modes.items() if not is_training] == [
        "backbone.stages_0.0.0.1",
        "backbone.stages_0.1.0.1",
    ]


def test_a_linear_probe_leaves_only_the_way_to_its_layer_in_training_mode() -> None:
    net = Net()
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith("head.2"))
    hooked(FrozenPartsHook(), net)
    assert [name for name, module in net.named_modules() if module.training] == [
        "",
        "head",
        "head.2",
        "data_preprocessor",
        "data_preprocessor.0",
    ]


# --- learning rates by layer ---


def rates_of(model: nn.Module, **paramwise: Any) -> dict[str, tuple[float, float]]:
    """Return learning rate and weight decay by parameter."""
    made = wrapper_of(model, **paramwise)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = made.optimizer.param_groups
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def wrapper_of(model: nn.Module, **paramwise: Any) -> Any:
    cfg = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=0.8, weight_decay=0.1))
    with DefaultScope.overwrite_default_scope("visionzoo"):
        built = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(type="LayerDecay", optim_wrapper_cfg=cfg, paramwise_cfg=paramwise)
        )
        return built(model)


def test_rates_by_hand() -> None:
    rates = rates_of(Net(), layer_decay=0.5, head_lr_mult=3.0, decay_all=True)
    assert rates["head.2.weight"] == rates["neck.bias"] == (pytest.approx(2.4), 0.1)
    assert rates["backbone.norm.weight"] == rates["backbone.stages_1.0.0.0.weight"] == (0.4, 0.1)
    assert rates["backbone.stages_0.1.0.1.bias"] == (0.2, 0.1)
    assert rates["backbone.stages_0.0.0.0.weight"] == (0.1, 0.1)
    assert rates["backbone.conv_stem.weight"] == (0.05, 0.1)


def test_factors_of_a_config_stay() -> None:
    given = dict(custom_keys={"backbone": dict(lr_mult=0.1), "neck": dict(decay_mult=0.0)}, norm_decay_mult=0.0)
    rates = rates_of(Net(), layer_decay=0.5, decay_all=True, **given)
    assert rates["backbone.stages_1.0.0.0.weight"] == (pytest.approx(0.04), 0.1)
    assert rates["neck.weight"] == (0.8, 0.0)
    assert rates["head.0.weight"] == (0.8, 0.0)
    assert rates["head.2.weight"] == (0.8, 0.1)


def test_the_table_counts_trained_tensors_and_is_empty_for_one_rate() -> None:
    net = Net()
    freeze(net, ["backbone.stem"])
    table = rates_table(net, [wrapper_of(net, layer_decay=0.5, decay_all=True).optimizer])
    assert table.splitlines() == [
        "group         learning rate  weight decay  tensors  parameters",
        "head                    0.8           0.1        6          43",
        "layer 3 of 3            0.4           0.1        5          32",
        "layer 2 of 3            0.2           0.1        3          24",
        "layer 1 of 3            0.1           0.1        3          24",
    ]
    assert rates_table(net, [wrapper_of(net, decay_all=True).optimizer]) == ""


def test_weight_decay_of_a_config_is_not_changed_by_the_option() -> None:
    from visionzoo.config.short_options import short_settings

    cfg = load_config("dinat_upernet_ade20k").cfg.to_dict()
    options = short_settings(cfg, {"layer_decay": 0.75}).options
    changed = load_config("dinat_upernet_ade20k", options=options).cfg.optim_wrapper
    assert changed.constructor == "LayerDecay"
    assert changed.paramwise_cfg.to_dict() == {
        **cfg["optim_wrapper"]["paramwise_cfg"],
        "layer_decay": 0.75,
        "decay_all": True,
    }


# --- several processes ---


def test_two_processes_keep_frozen_parts_equal(toy_config: Path, command: Callable, tmp_path: Path) -> None:
    flags = ["--freeze", "stem", "norm", "--layer-decay", "0.5", "--early-stop", "1", "--epochs", "3", "--json"]
    options = ["--cfg-options", "early_stopping.monitor=toy/count", "early_stopping.rule=greater"]
    done = command("train.py", toy_config, "-o", tmp_path / "run", *flags, *options, launcher=TWO)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["epoch"] == 2  # the number of samples never improves
    state = torch.load(outcome["checkpoint"], weights_only=True)["state_dict"]
    start = torch.load(tmp_path / "run" / "epoch_1.pth", weights_only=True)["state_dict"]
    assert torch.equal(state["stem.weight"], start["stem.weight"])
    assert torch.equal(state["norm.running_mean"], torch.zeros(4))
    assert not torch.equal(state["bbox_head.weight"], start["bbox_head.weight"])
    assert done.stderr.count("early stopping: ") == done.stderr.count("stopped early after epoch 2") == 1
    assert (tmp_path / "run" / "losses.png").is_file()


def test_a_frozen_part_without_a_match_lists_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"found 'nek'; did you mean neck\?"):
        freeze(Net(), ["nek"])
