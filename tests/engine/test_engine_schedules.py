"""Learning rates, layer decay and repeated augmentation have the values of the recipes."""

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from timm.scheduler import CosineLRScheduler
from torch import nn
from torch.utils.data import BatchSampler

from visionzoo.engine import samplers
from visionzoo.engine.depths import layer_depths, model_depths
from visionzoo.engine.samplers import RepeatedAugmentation
from visionzoo.engine.schedules import StaircaseLR, WarmupCosineLR
from visionzoo.engine.seeding import SampleKey, SeededBatches
from visionzoo.errors import ConfigError
from visionzoo.registry import DATA_SAMPLERS, OPTIM_WRAPPER_CONSTRUCTORS, PARAM_SCHEDULERS


def optimizer(lr=1e-3, *more):
    groups = [{"params": [nn.Parameter(torch.zeros(2))], "lr": value} for value in (lr, *more)]
    return torch.optim.SGD(groups, lr=lr)


def rates(made, schedule, steps):
    values = []
    for _ in range(steps):
        values.append([group["lr"] for group in made.param_groups])
        made.step()
        schedule.step()
    return np.array(values)


# --- schedules ---


def test_dinats_schedule_is_timms_at_every_iteration():
    """A cosine to 5e-6 over 300 epochs, the first 20 a line from 1e-6 to 1e-3, then 10 of cooldown; per iteration."""
    length, made, other = 7, optimizer(1e-3), optimizer(1e-3)
    schedule = WarmupCosineLR.build_iter_from_epoch(
        made, end=300, warmup=20, warmup_start=1e-6, eta_min=5e-6, epoch_length=length
    )
    oracle = CosineLRScheduler(
        other, t_initial=300 * length, lr_min=5e-6, warmup_t=20 * length, warmup_lr_init=1e-6, t_in_epochs=False
    )
    expected = []
    for step in range(310 * length):
        oracle.step_update(step)
        expected.append(other.param_groups[0]["lr"])
    values = rates(made, schedule, 310 * length)[:, 0]
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert values[0] == 1e-6
    assert values[-1] == 5e-6


def test_groups_keep_their_ratio_and_epochs_work_as_steps():
    made = optimizer(0.4, 0.1)
    values = rates(made, WarmupCosineLR(made, end=6, warmup=2, warmup_start=0.04, eta_min=0.02), 8)
    np.testing.assert_allclose(values[:, 0], 4 * values[:, 1])
    np.testing.assert_allclose(values[:3, 0], [0.04, 0.22, 0.02 + 0.38 * 0.75])
    np.testing.assert_allclose(values[6:, 0], 0.02)


def test_nasnets_staircase_falls_after_every_2_4_epochs():
    length, made = 100, optimizer(1.5)
    values = rates(made, StaircaseLR.build_iter_from_epoch(made, gamma=0.97, every=2.4, epoch_length=length), 721)[:, 0]
    np.testing.assert_allclose(values[[0, 239, 240, 479, 480, 720]], 1.5 * 0.97 ** np.array([0, 0, 1, 1, 2, 3]))


def test_a_resumed_schedule_continues_with_the_same_values():
    whole = optimizer()
    expected = rates(whole, WarmupCosineLR(whole, end=9, warmup=3), 9)
    first = optimizer()
    schedule = WarmupCosineLR(first, end=9, warmup=3)
    rates(first, schedule, 4)
    second = optimizer()
    again = WarmupCosineLR(second, end=9, warmup=3)
    second.load_state_dict(first.state_dict())
    again.load_state_dict(schedule.state_dict())
    np.testing.assert_array_equal(rates(second, again, 5), expected[4:])


def test_they_are_found_by_name_and_refuse_nonsense():
    assert PARAM_SCHEDULERS.get("WarmupCosineLR") is WarmupCosineLR
    with pytest.raises(ConfigError, match="0 <= warmup < end"):
        WarmupCosineLR(optimizer(), end=3, warmup=3)
    with pytest.raises(ConfigError, match="every > 0"):
        StaircaseLR(optimizer(), gamma=0.9, every=0)


# --- layer decay ---


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.rpb = nn.Parameter(torch.zeros(2, 5, 5))
        self.norm = nn.LayerNorm(4)
        self.mlp = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))


class Stage(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
        self.downsample = nn.Linear(4, 4)


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.levels = nn.ModuleList([Stage(2), Stage(1)])
        self.norm = nn.LayerNorm(4)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.head = nn.Linear(4, 3)


def wrapper_of(model, **paramwise):
    with DefaultScope.overwrite_default_scope("visionzoo"):
        made = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(
                type="LayerDecay",
                optim_wrapper_cfg=dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=0.1, weight_decay=0.05)),
                paramwise_cfg=paramwise or None,
            )
        )
        return made(model)


def settings(model, made):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = made.optimizer.param_groups
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def test_layers_are_the_blocks_in_order():
    depths = layer_depths(Backbone())
    assert depths["stem.weight"] == 0
    assert depths["levels.0.blocks.0.mlp.2.bias"] == 1
    assert depths["levels.0.blocks.1.rpb"] == 2
    assert depths["levels.0.downsample.weight"] == 2
    assert depths["levels.1.blocks.0.norm.weight"] == 3
    assert depths["norm.weight"] == 3
    assert model_depths(Model())["head.weight"] == 4


def test_layers_of_a_resnet_and_of_a_backbone_without_lists():
    from mmdet.models import ResNet

    depths = layer_depths(ResNet(depth=18, base_channels=8, stem_channels=8))
    assert max(depths.values()) == 8
    assert depths["conv1.weight"] == 0
    assert depths["layer2.0.downsample.0.weight"] == 3
    plain = nn.Module()
    plain.first, plain.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
    assert layer_depths(plain)["second.weight"] == 2


def test_rates_shrink_towards_the_stem_and_only_weights_decay():
    model = Model()
    groups = settings(model, wrapper_of(model, layer_decay=0.5))
    assert set(groups) == {name for name, _ in model.named_parameters()}
    assert groups["head.weight"] == (0.1, 0.05)
    assert groups["head.bias"] == (0.1, 0.0)
    assert groups["backbone.levels.1.blocks.0.mlp.0.weight"] == (0.05, 0.05)
    assert groups["backbone.levels.0.blocks.0.rpb"] == (0.0125, 0.0)
    assert groups["backbone.stem.weight"] == (0.00625, 0.05)
    assert groups["backbone.norm.weight"] == (0.05, 0.0)


def test_without_layer_decay_there_are_two_kinds_and_options_change_them():
    model = Model()
    assert {rate for rate, _ in settings(model, wrapper_of(model)).values()} == {0.1}
    assert settings(model, wrapper_of(model, not_decayed=()))["backbone.levels.0.blocks.0.rpb"] == (0.1, 0.05)
    assert {decay for _, decay in settings(model, wrapper_of(model, decay_all=True)).values()} == {0.05}


def test_the_config_names_it_as_constructor():
    cfg = dict(optimizer=dict(type="SGD", lr=1.0), constructor="LayerDecay", paramwise_cfg=dict(layer_decay=0.9))
    with DefaultScope.overwrite_default_scope("visionzoo"):
        made = build_optim_wrapper(Model(), cfg)
    assert made.optimizer.param_groups[0]["lr"] == 1.0


@pytest.mark.parametrize(
    ("wrong", "what"), [({"layer_deacy": 0.8}, "did you mean layer_decay"), ({"layer_decay": 2}, r"in \(0, 1\]")]
)
def test_wrong_keys_and_values(wrong, what):
    with pytest.raises(ConfigError, match=what):
        wrapper_of(Model(), **wrong)


# --- repeated augmentation ---


def on_rank(monkeypatch, rank, world, count=600, **options):
    monkeypatch.setattr(samplers, "get_dist_info", lambda: (rank, world))
    return RepeatedAugmentation(range(count), seed=3, **options)


def test_every_sample_three_times_over_the_ranks_each_with_its_own_turn(monkeypatch):
    ranks = [list(on_rank(monkeypatch, rank, 2)) for rank in range(2)]
    assert [len(keys) for keys in ranks] == [256, 256]  # floor(600 / 256) * 256 / 2
    dealt = [key for pair in zip(*ranks) for key in pair]
    assert [key.turn for key in dealt[:7]] == [0, 1, 2, 0, 1, 2, 0]
    triples = [dealt[start : start + 3] for start in range(0, 510, 3)]
    assert all(len({key.sample for key in triple}) == 1 for triple in triples)
    assert len(set(dealt)) == 512  # no sample twice with the same augmentation


def test_small_sets_are_kept_whole_and_epochs_differ(monkeypatch):
    sampler = on_rank(monkeypatch, 0, 1, count=10)
    assert len(list(sampler)) == len(sampler) == 10
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert len(on_rank(monkeypatch, 0, 3, count=100, round_to=0)) == 33


def test_turns_reach_the_samples_through_the_engines_batches(monkeypatch):
    batches = SeededBatches(BatchSampler(on_rank(monkeypatch, 1, 2, count=12), 3, False), seed=0)
    batches.start_at(2)
    keys = [key for batch in batches for key in batch]
    assert all(isinstance(key, SampleKey) and isinstance(key.sample, int) and key.epoch == 2 for key in keys)
    assert [key.turn for key in keys] == [1, 0, 2, 1, 0, 2]
    assert DATA_SAMPLERS.get("RepeatedAugmentation") is RepeatedAugmentation
