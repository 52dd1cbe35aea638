"""Curves of a training: ``losses.png`` and ``metrics.png`` in its folder, also of an interrupted or resumed run."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from PIL import Image

from visionzoo.engine.early_stopping import epochs_done
from visionzoo.engine.hooks import BEST
from visionzoo.engine.measures import scalars, shown
from visionzoo.engine.rates import rates_of_run
from visionzoo.errors import some_of
from visionzoo.registry import HOOKS
from visionzoo.reports.curves import Line, Panel, draw_panels
from visionzoo.structures.undefined import defined
from visionzoo.system.atomic import write_file

FILES = ("losses.png", "metrics.png")

# Keys of the message hub, which checkpoints hold: largest and smallest learning rate of each iteration, validations.
_RATE, _LEAST_RATE, _VALIDATIONS = "curve/lr", "curve/lr_least", "validations"
_MOST = 24  # panels of an image
_NARROW = 2  # lines whose names fit into a panel of half the width


@HOOKS.register_module()
class CurvesHook(Hook):
    """Record learning rates and validations for the curves, and log the rates by layer. The hook is always active."""

    priority = "LOW"  # before the checkpoint is written, which then holds them

    def before_train(self, runner: Any) -> None:
        for line in rates_of_run(runner).splitlines():  # a log has one line for every record
            runner.logger.info(line)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        rates = _rates(runner.optim_wrapper)
        runner.message_hub.update_scalar(_RATE, max(rates))
        if min(rates) < max(rates):
            runner.message_hub.update_scalar(_LEAST_RATE, min(rates))

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, Any] | None = None) -> None:
        done = {"epoch": epochs_done(runner), "iter": runner.iter, "metrics": scalars(metrics or {})}
        before = runner.message_hub.get_info(_VALIDATIONS, None) or []
        runner.message_hub.update_info(_VALIDATIONS, [*before, done])


def _rates(optim_wrapper: Any) -> list[float]:
    """Return the learning rates of all groups of parameters of all optimizers."""
    wrappers = getattr(optim_wrapper, "optim_wrappers", None)
    each = [optim_wrapper] if wrappers is None else wrappers.values()
    return [float(group["lr"]) for wrapper in each for group in wrapper.optimizer.param_groups]


def write_curves(runner: Any, name: str) -> None:
    """Write ``losses.png`` and ``metrics.png`` of a training that has done at least one iteration.

    Args:
        runner: a runner with a training loop.
        name: name of the model.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder, length = Path(runner.work_dir), max(1, len(runner.train_loop.dataloader))
    rate = _rate_panel(runner.message_hub.log_scalars, runner.iter)
    losses = [*_loss_panels(runner.message_hub.log_scalars, runner.iter), rate]
    _write(folder / FILES[0], draw_panels(f"losses of {name}", losses, "iteration"))
    by_epoch = Panel(
        rate.title, [Line(line.name, np.asarray(line.x) / length, line.y) for line in rate.lines], wide=True, low=True
    )
    metrics = _metric_panels(runner)
    drawn = [panel for panel in metrics if panel.lines] or metrics[:1]
    left_out = [panel.title for panel in metrics if panel not in drawn]
    remark = f" (never a number: {some_of(left_out, 4)})" if left_out else ""
    _write(folder / FILES[1], draw_panels(f"metrics of {name}{remark}", [*drawn, by_epoch], "epoch"))


def _write(path: Path, image: np.ndarray) -> None:
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="PNG", optimize=True)
    write_file(path, lambda file: file.write(content.getvalue()))


def _history(scalars_by_name: Mapping[str, Any], name: str) -> np.ndarray:
    return np.asarray(scalars_by_name[name].data[0], dtype=float)


def _loss_panels(history: Mapping[str, Any], iterations: int) -> list[Panel]:
    """Return a panel for each loss, the sum first. Losses of one name of several stages share a panel."""
    groups: dict[str, list[Line]] = {}
    for key in history:
        where, _, name = key.partition("/")
        if where == "train" and "loss" in name.rpartition(".")[2]:
            values = _history(history, key)
            # of several heads, each trains only on its own data: these iterations are spread over the run
            x = np.linspace(1, iterations, len(values)) if len(values) > 1 else np.full(len(values), iterations)
            groups.setdefault(name.rpartition(".")[2], []).append(Line(name, x, values, smooth=True))
    order = sorted(groups, key=lambda name: name != "loss")
    if len(order) == 2:  # the sum is the only loss
        only = [line for line in groups[order[1]] if not np.array_equal(line.y, groups["loss"][0].y)]
        order = order if only else order[1:]
    return [_loss_panel(name, groups[name]) for name in order]


def _loss_panel(name: str, lines: Sequence[Line]) -> Panel:
    """Return the panel of losses of one name; that of only one head has the name of this head in its title."""
    title = lines[0].name if len(lines) == 1 else name
    return Panel(title, sorted(lines, key=lambda line: line.name != name), name == "loss")


def _rate_panel(history: Mapping[str, Any], iterations: int) -> Panel:
    """Return the panel of the learning rates; a run that was begun by an older version lacks the first ones."""
    lines = []
    for key, name in ((_RATE, "largest"), (_LEAST_RATE, "smallest")):
        if key in history:
            values = _history(history, key)[-iterations:]
            lines.append(Line(name, np.arange(iterations - len(values) + 1, iterations + 1), values))
    return Panel("learning rate", lines, wide=True, low=True)


def _metric_panels(runner: Any) -> list[Panel]:
    """Return a panel for each metric, that of the best weights first. Numbers by class share a panel."""
    done = runner.message_hub.get_info(_VALIDATIONS, None) or []
    if not done:
        reason = "the config has no val_dataloader" if runner.val_loop is None else "none was due before the end"
        return [Panel("metrics", wide=True, empty=f"no validation: {reason}")]
    names = list(dict.fromkeys(name for each in done for name in each["metrics"]))
    best = runner.message_hub.get_info(BEST, None)
    first = None if best is None else best["selected_by"]
    groups: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: name != first):
        groups.setdefault(name if name.count("/") < 2 else f"{name.rpartition('/')[0]} by class", []).append(name)
    shown_groups = list(groups.items())[:_MOST]
    return [_metric_panel(title, members, done, best) for title, members in shown_groups]


def _metric_panel(
    title: str, names: Sequence[str], done: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None
) -> Panel:
    lines = []
    for name in names:
        y = [defined(each["metrics"].get(name, math.nan)) for each in done]
        label = name.rpartition("/")[2] if len(names) > 1 else name
        lines.append(Line(label, [each["epoch"] for each in done], y, dots=True))
    mark = None
    if best is not None and names == [best["selected_by"]]:
        at = next((each for each in done if _is_of(each, best["step"])), None)
        value = best["metrics"].get(names[0], math.nan)
        if at is not None and math.isfinite(value):
            mark = (at["epoch"], value, f"best {shown(value)}, {best['step']}")
    has_values = any(math.isfinite(value) for line in lines for value in line.y)
    wide = len(lines) > _NARROW
    return Panel(title, lines if has_values else [], wide, mark=mark, empty="never a number")


def _is_of(validation: Mapping[str, Any], step: str) -> bool:
    """Return True if a validation is that of a step in words: ``epoch 3`` or ``iteration 40``."""
    unit, _, number = step.partition(" ")
    return int(number) == (round(validation["epoch"]) if unit == "epoch" else validation["iter"])
