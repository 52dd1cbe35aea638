"""Progress of a run: a bar on a terminal, a plain line every ten seconds elsewhere, nothing with ``-q``."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mmengine.hooks import Hook

from visionzoo.engine.best_metric import main_metric
from visionzoo.engine.displays import Display, State, display_of
from visionzoo.engine.hooks import step_of
from visionzoo.engine.measures import scalars, shown
from visionzoo.engine.pace import Pace, validations_left
from visionzoo.errors import some_of
from visionzoo.registry import HOOKS

# Seconds between two updates of the text, which reads the loss and the learning rate.
_UPDATE = 0.1

# Seconds between two lines about validations, if validations are shorter.
_SECONDS_BETWEEN_VALIDATED = 10.0

# Numbers shown after a validation, the main one first, or one of each task if these are more; all are shown at the end.
_SHOWN = 3


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show epoch, iteration, loss, main metric, learning rate, pace and the time left of the whole run on stderr.

    Args:
        style: ``bar``, ``lines`` or ``none``.
        seconds: time between two plain lines, > 0.
    """

    priority = "LOWEST"

    def __init__(self, style: str = "lines", seconds: float = 10.0):
        self._display: Display = display_of(style, seconds)
        self._pace, self._part = Pace(), Pace()
        self._training = False
        self._updated = self._validated = float("-inf")
        self._state = State("loading the first batch", 0, 1)
        self._facts = {"loss": "", "metric": "", "rate": ""}

    # --- training ---

    def before_train(self, runner: Any) -> None:
        self._pace, self._training = Pace(runner.iter), True
        self._display.open("train")
        self._state = State("loading the first batch", runner.iter, runner.max_iters)
        self._show()

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._facts["rate"] = _learning_rate(runner)  # after the iteration it is that of the next one

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Mapping | None = None
    ) -> None:
        done, total = runner.iter + 1, runner.max_iters
        is_first = self._pace.step(done)
        if is_first or done == total or time.perf_counter() - self._updated > _UPDATE:
            self._updated = time.perf_counter()
            self._facts["loss"] = _loss(runner, batch_idx)
            pace, left = self._pace.seconds(done), self._pace.left(done, total, validations_left(runner))
            self._state = State(_epoch(runner), done, total, place=_place(runner, batch_idx), pace=pace, left=left)
            self._show(now=is_first or done == total)

    def after_train(self, runner: Any) -> None:
        self._state = replace(self._state, left=None)
        self._show()
        self.close()

    def _show(self, *, now: bool = False) -> None:
        self._state = replace(self._state, facts=tuple(filter(None, self._facts.values())))
        self._display.show(self._state, now=now)

    # --- measuring ---

    def before_val_epoch(self, runner: Any) -> None:
        self._pace.start_validation()
        self._before_measuring("validate", len(runner.val_dataloader))

    def before_test_epoch(self, runner: Any) -> None:
        self._before_measuring("test", len(runner.test_dataloader))

    def _before_measuring(self, name: str, batches: int) -> None:
        self._part = Pace()
        self._display.open(name)
        self._display.show(State(f"{name}: loading the first batch", 0, batches))

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._measured("validate", batch_idx + 1, len(runner.val_dataloader))

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._measured("test", batch_idx + 1, len(runner.test_dataloader))

    def _measured(self, name: str, done: int, total: int) -> None:
        self._part.step(done)
        if done == total:
            self._display.show(State(f"{name}: computing the metrics", done, total))
        elif time.perf_counter() - self._updated > _UPDATE:
            self._updated = time.perf_counter()
            pace, left = self._part.seconds(done), self._part.left(done, total)
            self._display.show(State(name, done, total, place=f"{done}/{total}", pace=pace, left=left))

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self._pace.end_validation()
        self._display.shut("validate")
        if not self._training:
            self.close()
        numbers = scalars(metrics or {})
        if not numbers:
            return
        self._say_undefined(numbers)
        main = main_metric(runner, numbers)
        firsts = _first_of_each_prefix([main, *numbers])
        self._facts["metric"] = f"{main if len(firsts) > 1 else main.rpartition('/')[2]} {shown(numbers[main])}"
        if self._training:
            self._show()
        if time.perf_counter() - self._validated >= _SECONDS_BETWEEN_VALIDATED:
            self._validated = time.perf_counter()
            first = list(dict.fromkeys([*firsts, *numbers]))[: max(_SHOWN, len(firsts))]
            text = "  ".join(f"{name} {shown(numbers[name])}" for name in first)
            self._display.say(f"validated {step_of(runner, by_epoch=runner.max_epochs > 1)}: {text}")

    def after_test_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self._say_undefined(scalars(metrics or {}))
        self.close()

    def _say_undefined(self, numbers: Mapping[str, float]) -> None:
        bad = [f"{name} = {value}" for name, value in numbers.items() if not math.isfinite(value)]
        if bad:
            found = some_of(bad, most=3)
            self._display.say(f"warning: expected finite metrics, found {found}; they cannot select the best weights")

    def close(self) -> None:
        """End the display and restore the terminal."""
        self._display.close()


def _first_of_each_prefix(names: Iterable[str]) -> list[str]:
    """Return the first number of each prefix; those of several tasks differ in it."""
    firsts: dict[str, str] = {}
    for name in names:
        firsts.setdefault(name.partition("/")[0], name)
    return list(firsts.values())


def _epoch(runner: Any) -> str:
    loop = runner.train_loop
    return f"epoch {loop.epoch + 1}/{loop.max_epochs}" if loop.max_epochs > 1 else ""


def _place(runner: Any, batch_idx: int) -> str:
    """Return the place of the iteration in its epoch, or in a run without epochs."""
    loop = runner.train_loop
    if loop.max_epochs > 1:
        return f"iter {batch_idx + 1}/{len(loop.dataloader)}"
    return f"iter {loop.iter + 1}/{loop.max_iters}"


def _loss(runner: Any, batch_idx: int) -> str:
    """Return the mean loss of the last iterations, the number that ``scalars.json`` has too."""
    losses = runner.message_hub.log_scalars.get("train/loss")
    window = min(runner.log_processor.window_size, batch_idx + 1)
    return "" if losses is None else f"loss {losses.mean(window):.4f}"


def _learning_rate(runner: Any) -> str:
    rate = next(iter(runner.optim_wrapper.get_lr().values()))
    return f"lr {rate[0]:.3g}" if rate else ""
