"""Weightings of the losses of several tasks, against slow loops written from their definitions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from visionzoo.errors import ConfigError, DataError, ZooError
from visionzoo.losses.weighting.base import LossWeighting, Trunk, task_losses
from visionzoo.losses.weighting.gradnorm import GradNorm
from visionzoo.losses.weighting.pcgrad import PCGrad, projected_sum
from visionzoo.models.wiring import build_filled
from visionzoo.registry import MODELS

TASKS = ("lanes", "counting", "saliency")


class Toy(nn.Module):
    """Two shared layers and a head for each task, whose losses conflict."""

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.trunk = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4))
        self.heads = nn.ModuleDict({task: nn.Linear(4, 2) for task in TASKS})

    def losses(self, seed: int = 0) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        feats = self.trunk(torch.randn(6, 5, generator=generator))
        targets = {task: 3 * torch.randn(6, 2, generator=generator) for task in TASKS}
        scale = dict(zip(TASKS, (1.0, 5.0, 0.2), strict=True))
        return {task: scale[task] * (self.heads[task](feats) - targets[task]).square().mean() for task in TASKS}

    def shared(self, **more: Any) -> Trunk:
        return Trunk({f"trunk.{name}": value for name, value in self.trunk.named_parameters()}, **more)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def build(kind: str, tasks: tuple[str, ...] = TASKS, **settings: Any) -> LossWeighting:
    return MODELS.build(dict(type=kind, tasks=tasks, **settings))


def gradient_of(losses: Callable[[Toy], Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Return the gradients of a number that a new toy computes."""
    toy = Toy(seed)
    losses(toy).backward()
    return gradients(toy)


def test_fixed_weights_multiply_losses_and_gradients() -> None:
    weights = dict(lanes=2.0, saliency=0.5)
    found = gradient_of(lambda toy: build("FixedWeights", weights=weights)(toy.losses(), toy.shared()))
    expected: dict[str, Tensor] = {}
    for task in TASKS:
        for name, gradient in gradient_of(lambda toy, task=task: toy.losses()[task]).items():  # type: ignore[misc]
            expected[name] = expected.get(name, 0) + weights.get(task, 1.0) * gradient
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name])


def test_uncertainty_weighting_is_the_formula_of_kendall_and_learns_its_minimum() -> None:
    weighting = build("UncertaintyWeighting", regression=["counting"], initial=0.3)
    values = dict(zip(TASKS, (0.7, 2.5, 0.1), strict=True))
    total = 0.0
    for task, value in values.items():
        sigma = math.exp(0.3 / 2)
        factor = 1 / (2 * sigma**2) if task == "counting" else 1 / sigma**2
        total += factor * value + math.log(sigma)
    losses = {task: torch.tensor(value) for task, value in values.items()}
    assert weighting(losses, Trunk()).item() == pytest.approx(total, rel=1e-6)
    optimizer = torch.optim.LBFGS(weighting.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = weighting(losses, Trunk())
        loss.backward()
        return loss

    optimizer.step(step)
    for task, value in values.items():  # where the derivative by s of a term is 0
        best = value if task == "counting" else 2 * value
        assert math.exp(weighting.log_variances[task].item()) == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("kind", ["FixedWeights", "UncertaintyWeighting"])
def test_a_batch_of_one_task_trains_only_this_task(kind: str) -> None:
    toy, weighting = Toy(), build(kind)
    weighting({"counting": toy.losses()["counting"]}, toy.shared()).backward()
    assert toy.heads["lanes"].weight.grad is None
    assert toy.heads["counting"].weight.grad is not None
    trained = {name for name, value in weighting.named_parameters() if value.grad is not None}
    assert trained == ({"log_variances.counting"} if kind == "UncertaintyWeighting" else set())


def slow_gradnorm(steps: int, alpha: float, rate: float) -> list[list[float]]:
    """Algorithm 1 of GradNorm, with the gradient of its loss by automatic differentiation."""
    toy, history = Toy(), []
    weights, initial = [1.0] * len(TASKS), None
    for step in range(steps):
        losses = toy.losses(step)
        values = [losses[task].item() for task in TASKS]
        initial = initial or values
        tensor = torch.tensor(weights, requires_grad=True)
        norms = []
        for index, task in enumerate(TASKS):
            (own,) = torch.autograd.grad(losses[task], [toy.trunk[2].weight], retain_graph=True)
            norms.append((tensor[index] * own).square().sum().sqrt())
        mean = sum(norm.item() for norm in norms) / len(TASKS)
        ratios = [value / first for value, first in zip(values, initial, strict=True)]
        rates = [ratio / (sum(ratios) / len(TASKS)) for ratio in ratios]
        loss = sum(abs(norm - mean * one**alpha) for norm, one in zip(norms, rates, strict=True))
        (slope,) = torch.autograd.grad(loss, [tensor])
        toy.zero_grad()
        sum(weight * losses[task] for weight, task in zip(weights, TASKS, strict=True)).backward()
        with torch.no_grad():
            for parameter in toy.parameters():
                parameter -= 0.01 * parameter.grad
        moved = [max(weight - rate * by.item(), 1e-3) for weight, by in zip(weights, slope, strict=True)]
        weights = [len(TASKS) * weight / sum(moved) for weight in moved]
        history.append(weights)
    return history


@pytest.mark.parametrize("layer", [None, "trunk.2.weight"])
def test_gradnorm_is_the_algorithm_of_the_paper(layer: str | None) -> None:
    expected = slow_gradnorm(12, alpha=0.7, rate=0.02)
    toy = Toy()
    weighting = build("GradNorm", alpha=0.7, lr=0.02, layer=layer)
    assert isinstance(weighting, GradNorm)
    weighting.check(list(toy.shared().parameters))
    for step in range(12):
        toy.zero_grad()
        weighting(toy.losses(step), toy.shared()).backward()
        with torch.no_grad():
            for parameter in toy.parameters():
                parameter -= 0.01 * parameter.grad
        assert weighting.weights.sum().item() == pytest.approx(len(TASKS), rel=1e-6)
        assert weighting.weights.tolist() == pytest.approx(expected[step], rel=1e-4)
    assert max(weighting.weights) > 1.05 > 0.95 > min(weighting.weights)


def test_gradnorm_applies_the_weights_before_their_change_and_keeps_them_in_evaluation() -> None:
    toy, weighting = Toy(), build("GradNorm")
    losses = toy.losses()
    assert weighting(losses, toy.shared()).item() == pytest.approx(sum(loss.item() for loss in losses.values()))
    before = weighting.weights.clone()
    weighting.eval()(toy.losses(1), toy.shared())
    assert torch.equal(weighting.weights, before)


def test_an_infinite_gradient_does_not_change_the_weights_of_gradnorm() -> None:
    toy, weighting = Toy(), build("GradNorm")
    losses = toy.losses()
    weighting({**losses, "lanes": losses["lanes"] * float("inf")}, toy.shared())
    assert torch.equal(weighting.weights, torch.ones(3))
    assert weighting.initial.isnan().all()


@pytest.mark.parametrize("step", [0, 1])
def test_a_loss_of_zero_does_not_change_the_weights_of_gradnorm(step: int) -> None:
    """Also in the first step, whose losses would be the divisors of all later ones."""
    toy, weighting = Toy(), build("GradNorm")
    seen = [weighting.weights.clone()]
    for number in range(3):
        losses = toy.losses(number)
        weighting({**losses, "lanes": 0 * losses["lanes"]} if number == step else losses, toy.shared())
        seen.append(weighting.weights.clone())
    assert [bool((one != two).any()) for one, two in pairwise(seen)] == [number != step for number in range(3)]


def test_gradnorm_chooses_another_layer_if_a_resumed_run_freezes_more() -> None:
    toy, weighting = Toy(), build("GradNorm")
    weighting.load_state_dict({**weighting.state_dict(), "chosen": torch.tensor(1)})
    toy.trunk[0].requires_grad_(False)
    weighting(toy.losses(), Trunk({"trunk.2.weight": toy.trunk[2].weight}))
    assert not torch.equal(weighting.weights, torch.ones(3))


def slow_surgery(gradients: list[list[float]], orders: list[list[int]]) -> list[float]:
    """Algorithm 1 of PCGrad on lists of numbers."""
    total = [0.0] * len(gradients[0])
    for task, order in enumerate(orders):
        own = list(gradients[task])
        for other in order:
            inner = sum(a * b for a, b in zip(own, gradients[other], strict=True))
            if inner < 0:
                square = sum(b * b for b in gradients[other])
                own = [a - inner / square * b for a, b in zip(own, gradients[other], strict=True)]
        total = [a + b for a, b in zip(total, own, strict=True)]
    return total


@pytest.mark.parametrize("seed", range(5))
def test_projections_are_those_of_the_definition(seed: int) -> None:
    generator = random.Random(seed)
    given = [[generator.gauss(0, 1) for _ in range(6)] for _ in range(4)]
    orders = [generator.sample([other for other in range(4) if other != task], 3) for task in range(4)]
    found = projected_sum(torch.tensor(given), orders)
    assert found.tolist() == pytest.approx(slow_surgery(given, orders), abs=1e-5)


def test_pcgrad_gives_the_trunk_the_projected_and_each_head_its_own_gradient() -> None:
    weighting = build("PCGrad", seed=5, weights=dict(saliency=10.0))
    assert isinstance(weighting, PCGrad)
    orders = weighting._orders()
    assert {len(order) for order in orders} == {2}
    assert all(task not in order for task, order in enumerate(orders))
    found = gradient_of(lambda toy: weighting(toy.losses(), toy.shared()), seed=3)
    factors = {"saliency": 10.0}
    own = [gradient_of(lambda toy, t=task: factors.get(t, 1.0) * toy.losses()[t], seed=3) for task in TASKS]  # type: ignore[misc]
    names = [name for name in found if name.startswith("trunk")]
    flat = [torch.cat([each[name].flatten() for name in names]).tolist() for each in own]
    expected = torch.tensor(slow_surgery(flat, orders))
    plain = torch.tensor(flat).sum(0)
    assert (expected - plain).norm() > 0.01 * plain.norm()  # some gradients conflict
    torch.testing.assert_close(torch.cat([found[name].flatten() for name in names]), expected, rtol=1e-4, atol=1e-5)
    for index, task in enumerate(TASKS):
        torch.testing.assert_close(found[f"heads.{task}.weight"], own[index][f"heads.{task}.weight"])


def test_the_number_of_pcgrad_is_the_sum_of_the_losses() -> None:
    toy = Toy()
    total = build("PCGrad")(toy.losses(), toy.shared())
    assert total.item() == pytest.approx(sum(loss.item() for loss in toy.losses().values()), rel=1e-6)


def test_the_order_of_projections_depends_on_seed_and_step_and_is_restored() -> None:
    def orders_of(weighting: LossWeighting, count: int) -> list[Any]:
        toy, seen = Toy(), []
        for _ in range(count):
            seen.append(weighting._orders())
            weighting(toy.losses(), toy.shared())
        return seen

    whole = orders_of(build("PCGrad", seed=1), 8)
    assert whole == orders_of(build("PCGrad", seed=1), 8)
    assert whole != orders_of(build("PCGrad", seed=2), 8)
    assert len({str(orders) for orders in whole}) > 1
    first = build("PCGrad", seed=1)
    orders_of(first, 3)
    second = build("PCGrad", seed=1)
    second.load_state_dict(first.state_dict())
    assert orders_of(second, 5) == whole[3:]


@pytest.mark.parametrize("kind", ["GradNorm", "PCGrad"])
def test_the_scale_of_a_gradient_scaler_changes_nothing(kind: str) -> None:
    plain = gradient_of(lambda toy: build(kind)(toy.losses(), toy.shared()))
    scaled = gradient_of(lambda toy: build(kind)(toy.losses(), toy.shared(loss_scale=1024.0)))
    for name, gradient in plain.items():
        torch.testing.assert_close(gradient, scaled[name], rtol=1e-4, atol=1e-6)


def test_an_overflow_leaves_pcgrad_a_finite_number() -> None:
    """The gradient scaler then skips the step; a NaN would end the run."""
    toy = Toy()
    total = build("PCGrad")(toy.losses(), toy.shared(loss_scale=3e38))
    assert total.isfinite()


@pytest.mark.parametrize("kind", ["FixedWeights", "UncertaintyWeighting", "PCGrad"])
def test_a_frozen_trunk_still_trains_the_heads(kind: str) -> None:
    toy = Toy()
    toy.trunk.requires_grad_(False)
    build(kind)(toy.losses(), Trunk()).backward()
    assert all(toy.heads[task].weight.grad is not None for task in TASKS)


def broken_batch(kind: str) -> None:
    toy = Toy()
    losses = toy.losses()
    losses.pop("counting")
    build(kind)(losses, toy.shared())


def frozen_gradnorm(layer: str | None = None) -> None:
    toy = Toy()
    toy.trunk.requires_grad_(False)
    build("GradNorm", layer=layer)(toy.losses(), Trunk())


def negative_loss() -> None:
    toy = Toy()
    losses = toy.losses()
    build("GradNorm")({**losses, "counting": -losses["counting"]}, toy.shared())


MISTAKES: Mapping[str, tuple[Callable[[], object], str]] = {
    "weight of another task": (lambda: build("FixedWeights", weights=dict(lane=1.0)), "did you mean 'lanes'?"),
    "negative weight": (lambda: build("FixedWeights", weights=dict(lanes=-1)), "weights.lanes"),
    "weight that is not a number": (lambda: build("PCGrad", weights=dict(lanes="much")), "at least 0"),
    "weights as a list": (lambda: build("FixedWeights", weights=[1, 2]), "weights"),
    "regression of another task": (lambda: build("UncertaintyWeighting", regression=["count"]), "names of the heads"),
    "negative alpha": (lambda: build("GradNorm", alpha=-1.0), "alpha"),
    "layer that does not exist": (
        lambda: build("GradNorm", layer="trunk.9").check(["trunk.0.weight", "trunk.2.weight"]),
        "trunk.9",
    ),
    "a task missing for GradNorm": (lambda: broken_batch("GradNorm"), "none of counting"),
    "a task missing for PCGrad": (lambda: broken_batch("PCGrad"), 'mode="mixed"'),
    "a trunk without trained layers": (frozen_gradnorm, "train the trunk"),
    "a frozen layer": (lambda: frozen_gradnorm("trunk.2"), "found trunk.2, which is frozen"),
    "a negative loss for GradNorm": (negative_loss, "a negative loss of counting"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_one_sentence(mistake: str) -> None:
    make, text = MISTAKES[mistake]
    with pytest.raises(ZooError) as error:
        make()
    assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_losses_are_summed_by_task_as_mmengine_sums_them() -> None:
    losses = {
        "lanes.loss_map": torch.tensor([1.0, 3.0]),
        "lanes.loss_levels": [torch.tensor(1.0), torch.tensor([2.0, 4.0])],
        "lanes.accuracy": torch.tensor(9.0),
        "aux.loss": torch.tensor(5.0),
    }
    assert {task: value.item() for task, value in task_losses(losses, TASKS).items()} == {"lanes": 6.0}


BACKBONE = dict(type="BossNet", variant="tiny")
HEADS = dict(
    animal=dict(type="ClassificationHead", in_channels=256, num_classes=3),
    place=dict(type="ClassificationHead", in_channels=256, num_classes=5),
)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (dict(head=HEADS["animal"]), "several heads"),
        (dict(heads=HEADS, loss_weighting=dict(type="FixedWeights", tasks=("animal",))), "leave tasks out"),
        (dict(heads=HEADS, loss_weighting=dict(type="GlobalNCC")), "tasks"),
        (dict(heads=HEADS, loss_weighting=dict(type="GradNorm", layer="head")), "a module of the trunk"),
    ],
)
def test_a_model_refuses_a_weighting_that_does_not_fit(changes: dict[str, Any], text: str) -> None:
    with pytest.raises((ConfigError, DataError), match=text):
        build_filled(
            dict(type="TaskModel", backbone=BACKBONE, **{"loss_weighting": dict(type="FixedWeights"), **changes})
        )
