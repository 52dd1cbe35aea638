"""The checks that a card names. Each one builds a model, measures it and compares the numbers with the card."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from visionzoo.cards.files import Card
from visionzoo.cards.schema import BuildCheck, EvalCheck, ForwardCheck, LearnCheck, MetricCheck, WeightsCheck
from visionzoo.cards.seeding import fill_weights, settle_norms
from visionzoo.cards.weights_check import measure_weights
from visionzoo.config import LoadedConfig, load_config
from visionzoo.config.data_parts import tasks_of
from visionzoo.engine.loaders import build_dataset, build_loader
from visionzoo.errors import some_of
from visionzoo.models.class_counts import ClassCounts, Counts, counts_by_task
from visionzoo.models.wiring import build_model
from visionzoo.registry import EVALUATOR, SCOPE
from visionzoo.structures.task_meta import meta_of_task
from visionzoo.structures.task_sample import is_of_task, sample_of_task
from visionzoo.tasks import options_of, task_of
from visionzoo.weights.loading import without_pretrained

# Number of values of each output that a card keeps, evenly spaced.
_KEPT = 64

# Boxes in the images of the forward check, for heads that take boxes: batch index, then xyxy in pixels.
_ROIS = [[0, 4, 4, 60, 50], [0, 30, 10, 110, 80], [1, 0, 0, 125, 89], [1, 50, 20, 70, 44]]

Numbers = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """Result of one check.

    Attributes:
        card: the name of the card, or the checked file.
        check: kind of check.
        passed: True if all numbers agree.
        detail: ``agrees``, or one line with the first number that differs and its expected value.
        seconds: duration of the check.
    """

    card: str
    check: str
    passed: bool
    detail: str
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": round(self.seconds, 2)}


# --------------------------------------------------------------------------- measuring


def measure_build(card: Card, check: BuildCheck) -> Numbers:
    """Return the number of all and of trained parameters of the full model, built on the device ``meta``."""
    loaded = load_config(card.name)
    with torch.device("meta"):
        model = build_model(loaded.cfg.model)
    model.train()
    parameters = list(model.parameters())
    return {
        "params": sum(parameter.numel() for parameter in parameters),
        "trainable": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
    }


def measure_forward(card: Card, check: ForwardCheck) -> Numbers:
    """Return shape, largest magnitude and 64 values of each raw output of the tiny model."""
    _, forward = seeded_forward(card, check)
    numbers: Numbers = {}
    for index, output in enumerate(forward()):
        numbers |= {f"{index:02d}.{key}": value for key, value in _summary(output).items()}
    return numbers


@torch.no_grad()
def seeded_forward(card: Card, check: ForwardCheck) -> tuple[Any, Callable[[], list[Tensor]]]:
    """Return the tiny model with seeded weights, and the function that computes its raw outputs of seeded inputs."""
    loaded = load_config(card.name, tiny=True)
    model = _seeded_model(loaded, check.seed, num_classes=None)
    return model, raw_forward(model, tasks_of(loaded.cfg)[0], check.seed, check.size, settle=True)


def raw_forward(
    model: Any, task: str, seed: int, size: Sequence[int], *, images: int = 2, settle: bool = False
) -> Callable[[], list[Tensor]]:
    """Return the function that computes the raw outputs of a model for seeded inputs.

    Args:
        model: the model, in eval mode.
        task: its task; any of several, because they have one kind of inputs.
        seed, size: see :meth:`visionzoo.tasks.inputs.base.Input.seeded`.
        images: number of inputs, 1 or 2.
        settle: set the statistics of the norms to those of the inputs first.
    """
    batch = {key: values[:images] for key, values in task_of(task).inputs.seeded(seed, size).items()}
    data = model.data_preprocessor(batch, False)
    samples = data["data_samples"] if "data_samples" in batch else None
    if settle:
        settle_norms(model, data["inputs"], samples)

    @torch.no_grad()
    def forward() -> list[Tensor]:
        dtype = next((tensor.dtype for tensor in model.parameters()), torch.float32)
        return list(_flat(_raw_outputs(model, data["inputs"].to(dtype), samples)))

    return forward


def measure_metric(card: Card, check: MetricCheck) -> Numbers:
    """Return the metrics of the config for ground truth with seeded changes."""
    loaded = load_config(card.name, tiny=True)
    dataset = build_dataset(_val_dataset(loaded), where="val_dataloader.dataset")
    samples = [_shaken(task, dataset, index, check.seed) for task, index in _samples_of(loaded, dataset)]
    return _evaluate(loaded, dataset, [samples])


def _samples_of(loaded: LoadedConfig, dataset: Any) -> Iterator[tuple[str, int]]:
    """Yield the task and the index of each sample of a data set of one or of several tasks."""
    for task in tasks_of(loaded.cfg):
        indices = dataset.indices_of(task) if hasattr(dataset, "indices_of") else range(len(dataset))
        yield from ((task, index) for index in indices)


def _shaken(task: str, dataset: Any, index: int, seed: int) -> dict[str, Any]:
    """Return the truth of a sample with seeded changes."""
    is_joint = hasattr(dataset, "place_of")
    own = dataset.place_of(index)[1] if is_joint else index
    counts = ClassCounts.of(meta_of_task(dataset.metainfo, task))
    classes = 0 if counts is None else counts.total
    sample = task_of(task).shaken(dataset.get_data_info(index), own, seed, classes)
    return {**sample, "task": task} if is_joint else sample


@torch.no_grad()
def measure_eval(card: Card, check: EvalCheck) -> Numbers:
    """Predict the drawn images with seeded weights. Return the metrics, the number of scores and their mean."""
    cfg = load_config(card.name).cfg
    tasks = {name: task_of(name) for name in tasks_of(cfg)}
    options = [option for name, task in tasks.items() for option in options_of(name, task, cfg.model)]
    # allow_new, because the rows of SCNNHead are a plain dict
    loaded = load_config(card.name, tiny=True, options=options, allow_new=True)
    dataset = build_dataset(_val_dataset(loaded), where="val_dataloader.dataset")
    model = _seeded_model(loaded, check.seed, num_classes=_counts_of(dataset))
    loader = build_loader(loaded.cfg.val_dataloader, dataset, seed=check.seed)
    batches = list(loader)
    first = model.data_preprocessor(copy.deepcopy(batches[0]), False)
    has_samples = any(task.inputs.has_samples for task in tasks.values())
    samples = list(first["data_samples"]) * 2 if has_samples else None
    settle_norms(model, torch.cat([first["inputs"]] * 2), samples)
    predicted = [model.val_step(batch) for batch in batches]
    numbers = _evaluate(loaded, dataset, [[sample.to_dict() for sample in samples] for samples in predicted])
    for name, task in tasks.items():
        own = [sample_of_task(each, name) for samples in predicted for each in samples if is_of_task(each, name)]
        scores, prefix = task.scores(own), f"{name}/" if len(tasks) > 1 else ""
        numbers |= {f"{prefix}predictions/count": len(scores)}
        numbers |= {f"{prefix}predictions/mean_score": float(scores.mean())}
    return numbers


def measure_learn(card: Card, check: LearnCheck) -> Numbers:
    """Return the loss of one fixed batch before and after ``steps`` steps of AdamW on this batch.

    For several tasks, it is the sum over one batch with samples of each task.
    """
    loaded = load_config(card.name, tiny=True)
    cfg = loaded.cfg.train_dataloader
    dataset = build_dataset(cfg.dataset, where="train_dataloader.dataset")
    with _torch_seed(check.seed):
        model: Any = build_model(loaded.cfg.model, num_classes=_counts_of(dataset))
        without_pretrained(model)
        with DefaultScope.overwrite_default_scope(SCOPE):
            model.init_weights()
        loader = build_loader({**cfg, "num_workers": 0}, dataset, seed=check.seed)
        return _losses(model.train(), _batches_of(loader, tasks_of(loaded.cfg)), check.steps)


def _counts_of(dataset: Any) -> Counts:
    """Return the class counts of a data set; by task for one of several tasks."""
    return counts_by_task(dataset.metainfo) or ClassCounts.of(dataset.metainfo)


def _batches_of(loader: Iterable[Any], tasks: Sequence[str]) -> list[Any]:
    """Return the first batches that together have samples of all tasks."""
    found, missing = [], set(tasks)
    for batch in loader:
        new = {task for task in missing if any(is_of_task(sample, task) for sample in batch["data_samples"])}
        if new:
            found.append(batch)
            missing -= new
        if not missing:
            break
    return found


def _losses(model: Any, batches: Sequence[Any], steps: int) -> Numbers:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    seen = []
    for _ in range(steps + 1):
        optimizer.zero_grad()
        total = 0.0
        for batch in batches:
            data = model.data_preprocessor(copy.deepcopy(batch), True)
            loss, _ = model.parse_losses(model(**data, mode="loss"))
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        seen.append(total)
    return {"before": seen[0], "after": seen[-1]}


# --------------------------------------------------------------------------- comparing


def compare_build(card: Card, check: BuildCheck, found: Numbers) -> str | None:
    """Return a sentence if the parameter counts differ from those of the card, or None."""
    stated = card.zoo.compute
    for key, expected in (("params", stated.params), ("trainable", stated.trainable)):
        if found[key] != expected:
            return f"compute.{key}: expected {found[key]:,} as the model has, found {expected:,} in the card"
    return None


def compare_arrays(card: Card, check: ForwardCheck | WeightsCheck, found: Numbers) -> str | None:
    """Return a sentence if the outputs or predictions differ from the stored arrays, or None."""
    path = arrays_path(card, check)
    if not path.is_file():
        return f"expected {path}, found no file; write it with `visionzoo cards record {card.name}`"
    with np.load(path) as stored:
        return difference(dict(stored), found, check.tolerance, floor=1e-3)


def compare_metrics(card: Card, check: MetricCheck | EvalCheck, found: Numbers) -> str | None:
    """Return a sentence if the metrics differ from those of the card, or None."""
    return difference(check.metrics, found, check.tolerance)


def compare_learn(card: Card, check: LearnCheck, found: Numbers) -> str | None:
    """Return a sentence if the loss did not fall below the ratio of the card, or None."""
    if found["after"] < found["before"] - (1 - check.ratio) * abs(found["before"]):
        return None
    return (
        f"expected the loss to fall below {check.ratio} of {found['before']:.4g} in {check.steps} steps, "
        f"found {found['after']:.4g}"
    )


def difference(
    expected: Mapping[str, Any], found: Mapping[str, Any], tolerance: float, floor: float = 1.0
) -> str | None:
    """Return a sentence about the first number that differs, or None.

    Args:
        expected: numbers or arrays by name.
        found: the measured ones.
        tolerance: relative to the largest magnitude of an array, or to ``floor`` if that is larger.
        floor: see ``tolerance``.

    Example:
        >>> difference({"loss": 1.0}, {"loss": 1.5}, tolerance=0.1)
        'loss: expected 1 within 0.1, found 1.5'
    """
    if set(expected) != set(found):
        return f"expected the numbers {_names(expected)}, found {_names(found)}"
    for name, wanted in expected.items():
        want, have = np.asarray(wanted, dtype=np.float64), np.asarray(found[name], dtype=np.float64)
        if want.shape != have.shape:
            return f"{name}: expected {want.size} numbers, found {have.size}"
        scale = max(floor, float(np.abs(want).max(initial=0)))
        gap = np.abs(want - have)
        if not np.all(gap <= tolerance * scale):  # this form is also true for nan
            worst = int(np.argmax(np.where(np.isnan(gap), np.inf, gap)))
            return (
                f"{name}: expected {want.flat[worst]:.6g} within {tolerance * scale:.2g}, found {have.flat[worst]:.6g}"
            )
    return None


def _names(numbers: Mapping[str, Any]) -> str:
    return some_of(sorted(numbers), most=6)


def arrays_path(card: Card, check: ForwardCheck | WeightsCheck) -> Path:
    """Return the file with the numbers of a check that stores arrays."""
    ending = "_weights" if isinstance(check, WeightsCheck) else ""
    return card.path.parent / "arrays" / f"{card.name}{ending}.npz"


MEASURE: dict[str, Callable[[Card, Any], Numbers]] = {
    "build": measure_build,
    "forward": measure_forward,
    "metric": measure_metric,
    "eval": measure_eval,
    "learn": measure_learn,
    "weights": measure_weights,
}
COMPARE: dict[str, Callable[[Card, Any, Numbers], str | None]] = {
    "build": compare_build,
    "forward": compare_arrays,
    "metric": compare_metrics,
    "eval": compare_metrics,
    "learn": compare_learn,
    "weights": compare_arrays,
}


# --------------------------------------------------------------------------- models


def _seeded_model(loaded: LoadedConfig, seed: int, num_classes: Counts) -> Any:
    model = build_model(loaded.cfg.model, num_classes=num_classes)
    fill_weights(model, seed)
    return model.eval()


def _raw_outputs(model: Any, image: Tensor, samples: Any) -> Any:
    """Return the outputs of the heads before any threshold. Two-stage heads read fixed boxes instead of proposals."""
    if not hasattr(model, "roi_head"):
        return model(image, mode="tensor") if samples is None else model(image, samples, mode="tensor")
    feats = model.extract_feat(image)
    rois = torch.tensor(_ROIS, dtype=torch.float32)
    boxes = model.roi_head._bbox_forward(feats, rois)
    outputs = [model.rpn_head(feats), boxes["cls_score"], boxes["bbox_pred"]]
    if model.roi_head.with_mask:
        outputs.append(model.roi_head._mask_forward(feats, rois)["mask_preds"])
    return outputs


def _flat(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
        return
    for output in outputs.values() if isinstance(outputs, Mapping) else outputs:
        yield from _flat(output)


def _summary(output: Tensor) -> Numbers:
    values = output.double().flatten()
    return {
        "shape": np.asarray(output.shape),
        "largest": np.float32(values.abs().max()),
        "values": values[torch.from_numpy(kept_indices(len(values)))].float().numpy(),
    }


def kept_indices(count: int) -> np.ndarray:
    """Return the indices of the values of an output that a card keeps: at most 64, evenly spaced, ends included.

    The stored arrays follow the indices of ``torch.linspace`` with fused multiply-add: float32 steps, counted from the
    nearer end, each result rounded once. A CPU without this instruction rounds twice and returns other indices.
    Therefore NumPy computes the indices.

    Args:
        count: number of values of the output.

    Example:
        >>> kept_indices(5)
        array([0, 1, 2, 3, 4])
    """
    kept, last = min(_KEPT, count), np.float64(count - 1)
    step = np.float64(np.float32(last) / np.float32(max(kept - 1, 1)))
    index = np.arange(kept)
    places = np.where(index < kept // 2, step * index, last - step * (kept - 1 - index))
    return places.astype(np.float32).astype(np.int64)


@contextmanager
def _torch_seed(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


# --------------------------------------------------------------------------- data and metric


def _val_dataset(loaded: LoadedConfig) -> Mapping:
    return loaded.cfg.val_dataloader.dataset


def _evaluate(loaded: LoadedConfig, dataset: Any, batches: list) -> Numbers:
    """Return the official metrics of predicted samples, without those that are undefined for the drawn images (-1)."""
    with DefaultScope.overwrite_default_scope(SCOPE):
        evaluator = _evaluator(copy.deepcopy(loaded.cfg.val_evaluator))
    evaluator.dataset_meta = dataset.metainfo
    for samples in batches:
        evaluator.process(samples, {})
    return {name: float(value) for name, value in evaluator.evaluate(len(dataset)).items() if value >= 0}


def _evaluator(given: Any) -> Evaluator:
    """Return the evaluator of a config, which names one metric, a list of them, or an evaluator with its metrics."""
    is_evaluator = isinstance(given, Mapping) and "metrics" in given
    return EVALUATOR.build({"type": "Evaluator", **given}) if is_evaluator else Evaluator(given)
