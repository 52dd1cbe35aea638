"""Batches of several tasks: shares by weight, order by seed and epoch, ranks without overlap, resuming."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from visionzoo.datasets.joint import JointDataset
from visionzoo.engine.joint_sampler import JointBatches, JointSampler
from visionzoo.engine.loaders import build_loader
from visionzoo.errors import ConfigError, ZooError
from visionzoo.structures.task_sample import TaskSample

SIZES = dict(lanes=7, counting=4, saliency=5)


class Numbers:
    """A data set of samples with their number."""

    metainfo: dict[str, Any] = {}

    def __init__(self, task: str, count: int):
        self.task, self.count = task, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"inputs": None, "data_samples": TaskSample(metainfo=dict(img_path=f"{self.task}{index}"))}


def joint(**sizes: int) -> JointDataset:
    return JointDataset({task: Numbers(task, size) for task, size in (sizes or SIZES).items()})


def sampler(rank: int = 0, world_size: int = 1, sizes: dict[str, int] | None = None, **settings: Any) -> JointSampler:
    made = JointSampler(joint(**(sizes or {})), **settings)
    made.rank, made.world_size = rank, world_size
    return made


def drawn(batches: JointBatches) -> list[list[tuple[str, int]]]:
    place_of = batches.sampler.dataset.place_of
    return [[place_of(key.sample) for key in batch] for batch in batches]


def tasks_of(batches: JointBatches) -> list[list[str]]:
    return [[task for task, _ in batch] for batch in drawn(batches)]


def test_in_turn_every_batch_has_one_task_and_the_tasks_alternate() -> None:
    found = tasks_of(sampler(mode="in_turn").batches(3))
    assert [set(batch) for batch in found] == [{"lanes"}, {"counting"}, {"saliency"}] * 2
    assert {len(batch) for batch in found} == {3}


def test_mixed_batches_have_all_tasks() -> None:
    batches = sampler(mode="mixed", length=60).batches(5)
    assert all(set(batch) == set(SIZES) for batch in tasks_of(batches))
    assert batches.lacking() == []
    assert sampler(mode="mixed", length=60).batches(2).lacking() == list(SIZES)
    assert sampler(mode="mixed", weights=dict(lanes=8), length=60).batches(5).lacking() == ["counting", "saliency"]


@pytest.mark.parametrize("mode", ["in_turn", "mixed"])
def test_weights_are_the_shares_of_the_tasks_at_regular_distances(mode: str) -> None:
    batches = sampler(mode=mode, weights=dict(lanes=3, saliency=0.5), length=2 * 90).batches(2)
    counts = Counter(task for batch in tasks_of(batches) for task in batch)
    assert counts == dict(lanes=120, counting=40, saliency=20)
    order = [task for batch in tasks_of(batches) for task in batch][:: 2 if mode == "in_turn" else 1]
    gaps = [b - a for a, b in zip(*[[i for i, task in enumerate(order) if task == "saliency"][k:] for k in (0, 1)])]
    assert max(gaps) - min(gaps) <= 2


@pytest.mark.parametrize("mode", ["in_turn", "mixed"])
def test_a_task_repeats_a_sample_only_after_all_others(mode: str) -> None:
    batches = sampler(mode=mode, length=120).batches(4)
    seen = Counter(sample for batch in drawn(batches) for sample in batch)
    for task, size in SIZES.items():
        counts = [seen[task, index] for index in range(size)]
        assert max(counts) - min(counts) <= 1
    turns = Counter((key.sample, key.turn) for batch in batches for key in batch)
    assert set(turns.values()) == {1}  # so that each repetition has its own augmentation


@pytest.mark.parametrize("mode", ["in_turn", "mixed"])
def test_the_order_depends_on_seed_and_epoch_alone(mode: str) -> None:
    first, again, other = (sampler(mode=mode, seed=seed) for seed in (1, 1, 2))
    orders = {}
    for epoch in (0, 1):
        for one in (first, again, other):
            one.set_epoch(epoch)
        orders[epoch] = drawn(first.batches(3))
        assert orders[epoch] == drawn(again.batches(3)) == drawn(first.batches(3))
        assert orders[epoch] != drawn(other.batches(3))
    assert orders[0] != orders[1]


@pytest.mark.parametrize("mode", ["in_turn", "mixed"])
def test_processes_draw_the_same_tasks_and_different_samples(mode: str) -> None:
    ranks = [sampler(rank, 2, mode=mode, length=12).batches(2) for rank in (0, 1)]
    assert len(ranks[0]) == len(ranks[1]) == 3
    assert tasks_of(ranks[0]) == tasks_of(ranks[1])
    everything = Counter(sample for rank in ranks for batch in drawn(rank) for sample in batch)
    assert max(everything.values()) == 1  # 12 draws, 4 of each task
    keys = Counter((key.sample, key.turn) for rank in ranks for batch in rank for key in batch)
    assert set(keys.values()) == {1}


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_in_order_every_sample_occurs_and_no_batch_has_two_tasks(world_size: int) -> None:
    ranks = [sampler(rank, world_size, mode="in_order").batches(2) for rank in range(world_size)]
    assert all(len({task for task, _ in batch}) == 1 for rank in ranks for batch in drawn(rank))
    assert all(len(rank) == len(list(rank)) for rank in ranks)
    parts = [[sample for batch in drawn(rank) for sample in batch] for rank in ranks]
    for task, size in SIZES.items():
        own = [[sample for sample in part if sample[0] == task] for part in parts]
        assert len({len(part) for part in own}) == 1
        in_turn = [sample for step in zip(*own) for sample in step]
        assert in_turn[:size] == [(task, index) for index in range(size)]  # as metrics collect them


@pytest.mark.parametrize("mode", ["in_turn", "mixed", "in_order"])
@pytest.mark.parametrize("drop_last", [True, False])
def test_the_length_is_the_number_of_batches(mode: str, drop_last: bool) -> None:
    for batch_size in (1, 3, 5):
        batches = sampler(mode=mode).batches(batch_size, drop_last)
        assert len(batches) == len(list(batches))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("mode", ["in_turn", "mixed"])
def test_a_loader_resumes_in_the_middle_of_an_epoch(mode: str, workers: int) -> None:
    cfg = dict(batch_size=3, sampler=dict(type="JointSampler", mode=mode), num_workers=workers)
    cfg |= dict(collate_fn=dict(type="pseudo_collate"))

    def names(start: int, epoch: int = 2) -> list[list[str]]:
        loader = build_loader(cfg, joint(), seed=4, mp_cfg=dict(mp_start_method="fork"))
        loader.batch_sampler.start_at(epoch, start)
        return [[sample.img_path for sample in batch["data_samples"]] for batch in loader]

    whole = names(0)
    assert len(whole) == 6
    assert names(4) == whole[4:]
    assert names(0, epoch=3) != whole


def test_a_joint_data_set_is_read_in_order_without_a_sampler() -> None:
    loader = build_loader(dict(batch_size=4), joint(lanes=5, counting=2), seed=0)
    assert [[sample.img_path for sample in batch["data_samples"]] for batch in loader] == [
        ["lanes0", "lanes1", "lanes2", "lanes3"],
        ["lanes4"],
        ["counting0", "counting1"],
    ]


MISTAKES = {
    "another mode": (dict(mode="mix"), "did you mean"),
    "an unknown task": (dict(weights=dict(lane=2)), "did you mean 'lanes'?"),
    "a weight of 0": (dict(weights=dict(lanes=0)), "above 0"),
    "a weight that is not a number": (dict(weights=dict(lanes="2")), "above 0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_one_sentence(mistake: str) -> None:
    settings, text = MISTAKES[mistake]
    with pytest.raises(ZooError) as error:
        JointSampler(joint(), **settings)  # type: ignore[arg-type]
    assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_a_data_set_of_one_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="JointDataset"):
        JointSampler(range(3))


def test_a_number_of_batches_by_mmengine_is_refused() -> None:
    with pytest.raises(ConfigError, match="length of JointSampler"):
        build_loader(dict(batch_size=2, num_batch_per_epoch=1), joint(), seed=0)
