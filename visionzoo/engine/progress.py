"""Progress of a run: a bar with rate and time left on a terminal, plain lines elsewhere, nothing with ``-q``."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from torch import Tensor

from visionzoo.registry import HOOKS

# Seconds between two changes of the bar's text; rich redraws the bar ten times a second.
_REDRAW = 0.1

# Numbers shown after a validation, the main ones first; all are shown at the end.
_SHOWN = 3


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show epoch, iteration, loss, learning rate, rate and time left on stderr.

    Args:
        style: ``bar``, ``lines`` or ``none``.
        interval: iterations between two plain lines.
    """

    priority = "LOWEST"

    def __init__(self, style: str = "lines", interval: int = 50):
        self.style, self.interval = style, interval
        self._bar: Any = None
        self._task: Any = None
        self._started = self._drawn = 0.0
        self._done_before = 0

    # --- training ---

    def before_train(self, runner: Any) -> None:
        self._started, self._done_before = time.perf_counter(), runner.iter
        self._open("train", runner.max_iters, runner.iter)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Mapping | None = None
    ) -> None:
        done = runner.iter + 1
        if self.style == "lines" and (done % self.interval == 0 or done == runner.max_iters):
            self._print(
                f"{_place(runner, batch_idx)}  {_numbers(runner, outputs)}  {self._pace(done, runner.max_iters)}"
            )
        elif self._bar is not None and time.perf_counter() - self._drawn > _REDRAW:
            self._drawn = time.perf_counter()
            text = f"{_place(runner, batch_idx)}  {_numbers(runner, outputs)}"
            self._bar.update(self._task, completed=done, description=text)

    def after_train(self, runner: Any) -> None:
        self.close()

    # --- measuring ---

    def before_val_epoch(self, runner: Any) -> None:
        self._before_measuring("validate", len(runner.val_dataloader))

    def before_test_epoch(self, runner: Any) -> None:
        self._before_measuring("test", len(runner.test_dataloader))

    def _before_measuring(self, name: str, batches: int) -> None:
        self._paused = (self._bar, self._task, self._started, self._done_before)
        self._started, self._done_before = time.perf_counter(), 0
        if self._bar is not None:
            self._task = self._bar.add_task(name, total=batches)
        else:
            self._open(name, batches, 0)

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._measured("validate", batch_idx + 1, len(runner.val_dataloader))

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._measured("test", batch_idx + 1, len(runner.test_dataloader))

    def _measured(self, name: str, done: int, total: int) -> None:
        if self.style == "lines" and (done % self.interval == 0 or done == total):
            self._print(f"{name} {done}/{total}  {self._pace(done, total)}")
        elif self._bar is not None and (time.perf_counter() - self._drawn > _REDRAW or done == total):
            self._drawn = time.perf_counter()
            self._bar.update(self._task, completed=done)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self._after_measuring()
        if metrics and self.style != "none":
            numbers = [f"{name} {value:.4f}" for name, value in metrics.items() if isinstance(value, float)]
            self.say("validated: " + "  ".join(numbers[:_SHOWN]))

    def after_test_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self._after_measuring()

    def _after_measuring(self) -> None:
        measuring, task = self._bar, self._task
        self._bar, self._task, self._started, self._done_before = self._paused
        if measuring is not None and self._bar is None:
            measuring.stop()
        elif measuring is not None:
            measuring.remove_task(task)

    # --- output ---

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        elif self.style != "none":
            self._print(text)

    def close(self) -> None:
        """Stop the bar and restore the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _open(self, name: str, total: int, done: int) -> None:
        if self.style != "bar":
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(name, total=total, completed=done)
        self._bar.start()

    def _pace(self, done: int, total: int) -> str:
        seconds = (time.perf_counter() - self._started) / max(1, done - self._done_before)
        return f"{seconds:.3g} s/iter  eta {_clock(seconds * (total - done))}"

    @staticmethod
    def _print(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _RateColumn() -> Any:  # noqa: N802 - named like rich's column classes
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.2f} iter/s" if task.speed else "- iter/s")

    return Rate()


def _place(runner: Any, batch_idx: int) -> str:
    loop = runner.train_loop
    if loop.max_epochs > 1:
        return f"epoch {loop.epoch + 1}/{loop.max_epochs}  iter {batch_idx + 1}/{len(loop.dataloader)}"
    return f"iter {loop.iter + 1}/{loop.max_iters}"


def _numbers(runner: Any, outputs: Mapping | None) -> str:
    loss = (outputs or {}).get("loss")
    shown = f"loss {float(loss.item() if isinstance(loss, Tensor) else loss):.4f}  " if loss is not None else ""
    rates = runner.optim_wrapper.get_lr()
    rate = next(iter(rates.values()))
    return f"{shown}lr {rate[0]:.3g}" if rate else shown.strip()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
