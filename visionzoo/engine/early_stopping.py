"""End a training whose metric has stopped improving. The patience is in validations or in epochs."""

from __future__ import annotations

import math
from typing import Any

from mmengine.hooks import EarlyStoppingHook

from visionzoo.engine.best_metric import deciding_metric, patterns_of, require_measured
from visionzoo.engine.hooks import ZooCheckpointHook, metrics_of
from visionzoo.engine.measures import scalars, shown
from visionzoo.errors import ConfigError, counted
from visionzoo.registry import HOOKS

# Key of the message hub, which checkpoints hold, for the sentence about an early end.
ENDED = "early_stop"


@HOOKS.register_module()
class ZooEarlyStoppingHook(EarlyStoppingHook):
    """:class:`mmengine.hooks.EarlyStoppingHook` whose patience survives a resume; a missing metric is an error.

    ``monitor="auto"`` selects the metric of the config's task, as ``save_best="auto"`` does.

    Args:
        monitor: name of the metric, or ``auto``.
        min_delta: smallest change that is an improvement, >= 0.
        rule: ``greater`` or ``less``; by default it follows from the metric.
        epochs: patience in epochs, >= 1: the training ends at the first validation that is this number of epochs after
            the best one. A value that is not finite does not improve it. None uses ``patience``, in validations.
        required: False ends no training if the metric is not measured, instead of an error.
        **kwargs: those of :class:`mmengine.hooks.EarlyStoppingHook`.
    """

    priority = "LOW"  # runs before the checkpoint is written, which then holds the counts
    best_score: float

    def __init__(
        self,
        monitor: str,
        min_delta: float = 0.0,
        rule: str | None = None,
        epochs: int | None = None,
        required: bool = True,
        **kwargs: Any,
    ):
        self._min_delta, self.epochs, self.required = min_delta, epochs, required
        self.best_epoch = 0.0  # epochs that were done at the best validation
        super().__init__(
            monitor, min_delta=min_delta, rule=rule or ("greater" if monitor == "auto" else None), **kwargs
        )

    _default_greater_keys = ZooCheckpointHook._default_greater_keys
    _default_less_keys = ZooCheckpointHook._default_less_keys

    def require_measured(self, runner: Any) -> None:
        """Raise an error before training if the evaluator cannot measure ``monitor``."""
        require_measured([self.monitor], metrics_of(runner), "early_stopping.monitor")

    def before_train(self, runner: Any) -> None:
        """State the patience; let a run continue that was stopped with a smaller one."""
        self.require_measured(runner)
        loop = runner.train_loop
        if loop.stop_training and not self._is_over(runner):
            loop.stop_training = False
            runner.message_hub.update_info(ENDED, None)
        names = [name for metric in metrics_of(runner) for name in patterns_of(metric)]
        auto = deciding_metric(runner.best_metric, names) or ("the metric of the task", "")
        what = auto[0] if self.monitor == "auto" else self.monitor
        runner.note(f"early stopping: the training ends when {what} has not improved for {self._patience_text()}")

    def _patience_text(self) -> str:
        return counted(self.patience, "validation") if self.epochs is None else counted(self.epochs, "epoch")

    def _choose_auto(self, runner: Any, measured: dict[str, float]) -> None:
        """Select the first metric of the task that is measured, and its direction."""
        known = deciding_metric(runner.best_metric, measured)
        if known is None:
            if not self.required:
                runner.note("early stopping: off, because none of the metrics of the task is measured")
                self.monitor = "none"
                return
            raise ConfigError(
                "early_stopping.monitor",
                expected="a metric, because none of the task's is measured",
                found="auto",
                advice=f"choose one of {', '.join(measured)} and rule='greater' or rule='less'",
            )
        self.monitor, self.rule = known
        self.min_delta = self._min_delta if self.rule == "greater" else -self._min_delta
        if self.wait_count == 0 and abs(self.best_score) == float("inf"):
            self.best_score = float("-inf") if self.rule == "greater" else float("inf")

    def after_val_epoch(self, runner: Any, metrics: dict[str, float]) -> None:
        """Compare the metric with the best one, and request the end of the training when the patience is over."""
        if self.monitor == "auto":
            self._choose_auto(runner, metrics)
        if self.monitor not in metrics:
            if not self.required:
                return
            raise ConfigError(
                "early_stopping.monitor",
                expected="a metric that was measured",
                found=f"{self.monitor!r}",
                advice=f"choose one of {', '.join(metrics)}",
            )
        if self.epochs is None:
            super().after_val_epoch(runner, metrics)
        else:
            self._compare(scalars(metrics).get(self.monitor, math.nan), epochs_done(runner))
            runner.train_loop.stop_training = self._is_over(runner)
        if runner.train_loop.stop_training:
            runner.message_hub.update_info(ENDED, self._end_text(runner))

    def _compare(self, score: float, epoch: float) -> None:
        """Record a score as the best one if it is better by ``min_delta``."""
        better = score > self.best_score + self.min_delta
        if self.rule == "less":
            better = score < self.best_score + self.min_delta
        if better:
            self.best_score, self.best_epoch, self.wait_count = score, epoch, 0
        else:
            self.wait_count += 1

    def _is_over(self, runner: Any) -> bool:
        if self.epochs is None:
            return self.wait_count >= self.patience
        return epochs_done(runner) - self.best_epoch >= self.epochs

    def _end_text(self, runner: Any) -> str:
        done = f"stopped early after epoch {epochs_done(runner):g}"
        if not math.isfinite(self.best_score):
            return f"{done}: {self.monitor} was never a number"
        best = f" of epoch {self.best_epoch:g}" if self.epochs is not None else ""
        return (
            f"{done}: {self.monitor} has not improved on {shown(float(self.best_score))}{best} "
            f"for {self._patience_text()}"
        )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add the counts to a checkpoint."""
        state = {"wait_count": self.wait_count, "best_score": float(self.best_score), "best_epoch": self.best_epoch}
        checkpoint.setdefault("hooks", {})["early_stopping"] = state

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Restore the counts of a resumed run."""
        for name, value in checkpoint.get("hooks", {}).get("early_stopping", {}).items():
            setattr(self, name, value)


def epochs_done(runner: Any) -> float:
    """Return the number of epochs that a training has done, also within an epoch and in a loop over iterations."""
    loop = runner.train_loop
    return float(round(loop.iter / max(1, len(loop.dataloader)), 6))
