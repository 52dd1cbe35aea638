"""Hooks between iterations: checkpoints, progress, the check of the loss.

A config names mmengine's hooks. Those with a counterpart here (:data:`IN_PLACE_OF`) are replaced by it, so configs
use mmengine's names.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook, Hook, LoggerHook
from torch import Tensor

from visionzoo.engine.best_metric import deciding_metric, require_measured
from visionzoo.engine.checkpoints import point_to, save_weights
from visionzoo.engine.loaders import sample_names
from visionzoo.engine.measures import per_class_tables, protocols, scalars
from visionzoo.errors import ConfigError, RunFailed, some_of
from visionzoo.option_names import option
from visionzoo.registry import HOOKS
from visionzoo.system.distributed import is_first


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop the run when the loss is NaN or infinite, before anything is logged or saved.

    Raises:
        RunFailed: the loss is NaN or infinite. The message names the losses and the samples of the batch.
    """

    priority = "VERY_HIGH"

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Mapping | None = None
    ) -> None:
        if outputs and not math.isfinite(_number(outputs.get("loss", 0.0))):
            message = loss_message(f"iteration {runner.iter + 1}", outputs, sample_names(data_batch))
            raise RunFailed(f"{message}. No checkpoint was touched")


def _number(value: Any) -> float:
    return value.item() if isinstance(value, Tensor) else value


def loss_message(where: str, outputs: Mapping, samples: list[str]) -> str:
    """Return the message about a loss that is NaN or infinite.

    Args:
        where: the part of the run.
        outputs: name -> value, with ``loss``, the sum.
        samples: names of the samples of the batch.

    Example:
        >>> print(loss_message("iteration 1", {"loss": math.nan, "loss_cls": math.nan}, ["a.jpg"]))
        iteration 1: expected a finite loss, found loss_cls = nan for a.jpg; lower the learning rate, clip \
gradients (optim_wrapper.clip_grad), train without amp, or look at these samples
    """
    losses = {name: _number(value) for name, value in outputs.items() if "loss" in name}
    total = {"loss": losses.pop("loss")}
    bad = {name: value for name, value in losses.items() if not math.isfinite(value)} or total
    found = ", ".join(f"{name} = {value}" for name, value in bad.items())
    batch = ", ".join(samples) or "a batch that names no samples"
    return (
        f"{where}: expected a finite loss, found {found} for {batch}; lower the learning rate, clip "
        f"gradients (optim_wrapper.clip_grad), train without {option('amp')}, or look at these samples"
    )


@HOOKS.register_module()
class TrainingProgressHook(Hook):
    """Pass the progress of training to parts of the model before each iteration.

    The hook calls ``set_training_progress(step, total_steps)`` of every module that has this method. ``step`` is the
    number of completed iterations (0 before the first), ``total_steps`` the number of the whole run. The hook is always
    active. It costs nothing if the model has no such part.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._listeners: list[Any] = []

    def before_train(self, runner: Any) -> None:
        modules = runner.bare_model.modules()
        self._listeners = [module for module in modules if hasattr(module, "set_training_progress")]

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        for module in self._listeners:
            module.set_training_progress(runner.iter, runner.max_iters)


# Key of the message hub, which checkpoints hold, for the :func:`record` of the best weights.
BEST = "best"


def step_of(runner: Any, *, by_epoch: bool) -> str:
    """Return the current step of a run in words: ``epoch 3`` or ``iteration 40``."""
    return f"epoch {runner.epoch}" if by_epoch else f"iteration {runner.iter}"


def record(runner: Any, selected_by: str | None, step: str, metrics: Mapping, path: Path) -> dict[str, Any]:
    """Return the numbers of a validation, which a resumed run also needs at its end.

    Args:
        runner: a runner with a validation.
        selected_by: name of the metric that selected the weights, or None.
        step: see :func:`step_of`.
        metrics: metric name -> number.
        path: the weights.
    """
    return {
        "selected_by": selected_by,
        "step": step,
        "weights": path.name,
        "samples": len(runner.val_dataloader.dataset),
        "metrics": scalars(metrics),
        "tables": per_class_tables(runner.val_evaluator),
        "protocols": protocols(runner.val_evaluator),
    }


# Parts of the names of metrics of which a higher or a lower value is better.
HIGHER_IS_BETTER = ("Smeasure", "Fmeasure", "Emeasure", "F1", "recall", "agreement", "mean_class", "AP", "IoU")
LOWER_IS_BETTER = ("MAE", "RMSE", "NAE", "GAME", "FP", "FN")


def _as_list(names: str | Sequence[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or [])


def metrics_of(runner: Any) -> list[Any]:
    """Return the metrics of the validation; empty if the run has none."""
    return [] if runner.val_loop is None else list(runner.val_loop.evaluator.metrics)


@HOOKS.register_module()
class ZooCheckpointHook(CheckpointHook):
    """Write checkpoints into the work dir: ``epoch_N.pth`` or ``iter_N.pth``, and ``best_*.safetensors``.

    Arguments are those of :class:`mmengine.hooks.CheckpointHook`. An old checkpoint is removed only after the new one
    is complete. ``save_best="auto"`` selects the metric of the config's task (``runner.best_metric``). If none of the
    task's metrics is measured, it selects the first measured metric and prints a note.
    """

    _default_greater_keys = [*CheckpointHook._default_greater_keys, *HIGHER_IS_BETTER]
    _default_less_keys = [*CheckpointHook._default_less_keys, *LOWER_IS_BETTER]

    def __init__(
        self,
        *args: Any,
        save_best: str | Sequence[str] | None = "auto",
        rule: str | Sequence[str] | None = None,
        **kwargs: Any,
    ):
        names, rules = _as_list(save_best) or None, _as_list(rule) or None
        self._lacks_rule = False
        super().__init__(*args, save_best=names, rule=rules if names else None, **kwargs)
        self._rules_given = list(getattr(self, "rules", []))

    def _init_rule(self, rules: Any, key_indicators: Any) -> None:
        """Infer the rule of each metric from its name. A name without a rule is an error of ``require_measured``."""
        try:
            super()._init_rule(rules, key_indicators)
        except ValueError:
            self._lacks_rule = True
            super()._init_rule(["greater"] * len(key_indicators), key_indicators)

    def require_measured(self, runner: Any) -> None:
        """Raise an error before training if the evaluator cannot measure a metric of ``save_best``, or has no rule."""
        require_measured(self.save_best or (), metrics_of(runner), "default_hooks.checkpoint.save_best")
        if self._lacks_rule:
            raise ConfigError(
                "default_hooks.checkpoint.rule",
                expected=f"greater or less for {some_of(self.save_best, most=3)}",
                found="none",
                advice='add rule="greater" or rule="less"',
            )

    def before_train(self, runner: Any) -> None:
        """Restore the list of kept checkpoints of a resumed run.

        mmengine's version is not called, because it creates a file client for cloud storage.
        """
        self.require_measured(runner)
        self.out_dir: str = str(runner.work_dir if self.out_dir is None else self.out_dir)
        self.keep_ckpt_ids = deque(runner.message_hub.get_info("keep_ckpt_ids", None) or [])
        newest = runner.message_hub.get_info("last_ckpt", None)
        self.last_ckpt = None if newest is None else str(Path(self.out_dir) / newest)
        if self.save_best == ["auto"] and "best_key" in runner.message_hub.runtime_info:
            self._choose_auto(runner, runner.message_hub.get_info("best_key"))

    def after_validation(self, runner: Any) -> None:
        """Rewrite the newest checkpoint if it is of the current step, so that it records the validation."""
        step = runner.epoch if self.by_epoch else runner.iter
        newest = None if self.last_ckpt is None else Path(self.last_ckpt).name
        if newest == self.filename_tmpl.format(step):
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=runner.iter))

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        path = Path(self.out_dir) / self.filename_tmpl.format(step)
        outdated = self._outdated(step)
        self.last_ckpt = str(path)
        runner.message_hub.update_info("last_ckpt", path.name)
        if self.max_keep_ckpts > 0:
            runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        runner.save_state(path, meta, with_optimizer=self.save_optimizer)
        if is_first():
            point_to(path)
            for old in outdated:
                old.unlink(missing_ok=True)

    def _outdated(self, step: int) -> list[Path]:
        """Add ``step`` to the kept checkpoints and return the paths of those that exceed their maximum number."""
        if self.max_keep_ckpts <= 0 or step in self.keep_ckpt_ids:
            return []
        self.keep_ckpt_ids.append(step)
        dropped = [self.keep_ckpt_ids.popleft() for _ in range(len(self.keep_ckpt_ids) - self.max_keep_ckpts)]
        return [Path(self.out_dir) / self.filename_tmpl.format(old) for old in dropped]

    def _choose_auto(self, runner: Any, name: str) -> None:
        """Select the metric ``name``; the task states the direction of its metrics."""
        known = deciding_metric(runner.best_metric, [name])
        rule = None if known is None else known[1]
        try:
            self._init_rule(self._rules_given if any(self._rules_given) else [rule], [name])
        except ValueError as error:
            raise ConfigError(
                "default_hooks.checkpoint",
                expected=f"a rule for {name} (greater or less)",
                found="none",
                advice="give save_best and rule='greater' or rule='less'",
            ) from error

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        if not self.save_best:
            return
        if "auto" in self.key_indicators:
            known = deciding_metric(runner.best_metric, metrics)
            chosen = next(iter(metrics)) if known is None else known[0]
            if known is None:
                runner.note(f"best checkpoint: by {chosen}, the first metric; no metric of the task is measured")
            self._choose_auto(runner, chosen)
            runner.message_hub.update_info("best_key", chosen)
        for name in self.key_indicators:
            self._save_if_best(runner, name, metrics)

    def _save_if_best(self, runner: Any, name: str, metrics: dict) -> None:
        if name not in metrics:
            known = ", ".join(metrics)
            raise ConfigError(
                "default_hooks.checkpoint.save_best",
                expected="a metric that was measured",
                found=f"{name!r}",
                advice=f"choose one of {known}",
            )
        hub, suffix = runner.message_hub, "" if len(self.key_indicators) == 1 else f"_{name}"
        rule = self.rules[self.key_indicators.index(name)]
        best = hub.get_info(f"best_score{suffix}", self.init_value_map[rule])
        score = metrics[name]
        if score is None or not (self.is_better_than[name](score, best) or float(score) == best):
            return  # of equal scores, such as 0 in the first epochs, the last one is kept
        step = f"epoch_{runner.epoch}" if self.by_epoch else f"iter_{runner.iter}"
        path = Path(self.out_dir) / f"best_{name.replace('/', '_')}_{step}.safetensors"
        old = hub.get_info(f"best_ckpt{suffix}", None)
        hub.update_info(f"best_score{suffix}", float(score))
        hub.update_info(f"best_ckpt{suffix}", path.name)
        if name == self.key_indicators[0]:
            step_in_words = step_of(runner, by_epoch=self.by_epoch)
            hub.update_info(BEST, record(runner, name, step_in_words, metrics, path))
        self._write_best(runner, path, {name: float(score)})
        if is_first() and old and old != path.name:
            (path.parent / old).unlink(missing_ok=True)

    @staticmethod
    def _write_best(runner: Any, path: Path, metrics: dict[str, float]) -> None:
        weights = runner.weights_to_use()
        if is_first():
            save_weights(path, weights, {**runner.describe(), "epoch": runner.epoch, "iter": runner.iter, **metrics})
        runner.logger.info(f"best so far: {metrics}, saved to {path.name}")


@HOOKS.register_module()
class ZooLoggerHook(LoggerHook):
    """:class:`mmengine.hooks.LoggerHook` with one JSON-lines file for the whole run, resumed or not."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.interval_exp_name = 10**12  # never log the experiment's name, which adds no information

    def before_run(self, runner: Any) -> None:
        super().before_run(runner)
        self.json_log_path = None

    def after_test_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Log the metrics; the caller of the test writes ``metrics.json``."""
        _, text = runner.log_processor.get_log_after_epoch(runner, len(runner.test_dataloader), "test")
        runner.logger.info(text)


# Hook named in a config -> hook that runs.
IN_PLACE_OF = {
    "CheckpointHook": "ZooCheckpointHook",
    "EarlyStoppingHook": "ZooEarlyStoppingHook",
    "LoggerHook": "ZooLoggerHook",
}
