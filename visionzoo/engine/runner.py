"""mmengine's Runner with a device per run, exact resuming, safe writing and little output."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.hooks import EMAHook, LoggerHook
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import convert_sync_batchnorm, is_model_wrapper, revert_sync_batchnorm
from mmengine.registry import DefaultScope
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.visualization import Visualizer
from torch import nn

from visionzoo._version import __version__
from visionzoo.engine import checkpoints
from visionzoo.engine.hooks import IN_PLACE_OF
from visionzoo.engine.log_files import Plain, complete_backends, is_news
from visionzoo.engine.seeding import RandomStates, seed_everything
from visionzoo.engine.sharded import (
    is_sharded,
    load_model_state,
    load_optimizer_state,
    model_state,
    optimizer_state,
)
from visionzoo.engine.workers import ZooLoader
from visionzoo.engine.wrappers import DeviceDDP, adapt_to_shards, mark_as_used, shard
from visionzoo.errors import CheckpointError, ConfigError, counted
from visionzoo.models.wiring import build_filled
from visionzoo.option_names import option
from visionzoo.registry import LOOPS, RUNNERS, rejections_explained
from visionzoo.system import distributed
from visionzoo.weights.stated_variants import require_stated_variants, variants_of

_count = itertools.count()

_LOOPS = {
    "EpochBasedTrainLoop": "EpochLoop",
    "IterBasedTrainLoop": "IterLoop",
    "ValLoop": "ValidationLoop",
    "TestLoop": "MeasureLoop",
}


@RUNNERS.register_module()
class ZooRunner(Runner):
    """Train and test one model.

    Args:
        device: device of the model.
        strategy: ``ddp`` or ``fsdp``; used only with several processes.
        prepare: called with the built model before it is moved and wrapped, to initialise, load and freeze.
        notes: called with each note to the user.
        best_metric: metrics that may select the best checkpoint, in order of priority, -> ``greater`` or ``less``.
        verbose: True also prints mmengine's log; the log file always has it.
        log_name: stem of the log file.
        config_text: the config as saved in checkpoints; None uses the text of ``cfg``.
        on_resume: called after the state of a run was restored.
        new_rates: True if a resumed run continues with the learning rates and the schedule of ``cfg``; False for those
            of its checkpoint.
        **kwargs: those of :class:`mmengine.runner.Runner`, with loaders that are already built.
    """

    def __init__(
        self,
        *,
        device: torch.device,
        strategy: str = "ddp",
        prepare: Callable[[nn.Module], None] | None = None,
        notes: Callable[[str], None] | None = None,
        best_metric: Mapping[str, str] | None = None,
        verbose: bool = False,
        log_name: str = "train",
        config_text: str | None = None,
        on_resume: Callable[[], None] | None = None,
        new_rates: bool = False,
        **kwargs: Any,
    ):
        self.device, self.strategy = device, strategy
        self.stop_asked = False
        self._prepare = prepare
        self.note = notes or (lambda text: None)
        self.best_metric = dict(best_metric or {})
        self._verbose, self._log_name = verbose, log_name
        self._waiting: RandomStates | None = None
        self._gradients: dict[str, Any] = {}
        self._has_loaded = self._has_ended = False
        self.metrics: dict[str, Any] = {}
        self._config_text, self._new_rates, self._on_resume = config_text, new_rates, on_resume
        name = kwargs.pop("experiment_name", None) or "run"
        super().__init__(experiment_name=f"{name}_{os.getpid()}_{next(_count)}", **kwargs)

    # --- environment ---

    @property
    def _log_dir(self) -> str:
        """Folder of the logs; mmengine creates one for every start."""
        return str(Path(self.work_dir) / "logs")

    @_log_dir.setter
    def _log_dir(self, value: str) -> None:
        """Ignore the folder that mmengine sets."""

    def setup_env(self, env_cfg: dict) -> None:
        """Set threads, cuDNN and ranks. Loaders set the start method of workers; the caller joins the processes."""
        if env_cfg.get("cudnn_benchmark"):
            torch.backends.cudnn.benchmark = True
        threads = (env_cfg.get("mp_cfg") or {}).get("opencv_num_threads")
        if threads is not None:
            import cv2

            cv2.setNumThreads(threads)
        self._rank, self._world_size = get_dist_info()
        self._timestamp = distributed.from_first(lambda: time.strftime("%Y%m%d_%H%M%S"))

    def set_randomness(self, seed: int, diff_rank_seed: bool = False, deterministic: bool = False) -> None:
        self._seed, self._deterministic = seed, deterministic
        seed_everything(seed + (distributed.rank() if diff_rank_seed else 0))
        torch.manual_seed(torch.initial_seed())  # also seeds the generators of the devices
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.backends.cudnn.benchmark = False
            torch.use_deterministic_algorithms(True, warn_only=True)

    def build_logger(self, log_level: int | str = "INFO", log_file: str | None = None, **kwargs: Any) -> MMLogger:
        log_file = log_file or str(Path(self._log_dir) / f"{self._log_name}.log")
        logger = super().build_logger(log_level, log_file, **kwargs)
        quieten(logger, logging.INFO if self._verbose else logging.WARNING)
        return logger

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        if isinstance(visualizer, Visualizer):
            return visualizer
        cfg = dict(visualizer or {})
        backends = complete_backends(cfg.pop("vis_backends", None), Path(self.work_dir))
        cfg.setdefault("type", "Visualizer")
        cfg["name"] = self._experiment_name
        return super().build_visualizer({**cfg, "vis_backends": backends, "save_dir": None})

    def _log_env(self, env_cfg: dict) -> None:
        self.logger.info(
            f"visionzoo {__version__}, torch {torch.__version__}, device {self.device}, {self.world_size} processes, "
            f"seed {self.seed}, deterministic {self.deterministic}"
        )

    def dump_config(self) -> None:
        """Do nothing: the caller that creates the work dir writes its ``config.py``."""

    # --- model ---

    def build_model(self, model: nn.Module | Mapping) -> nn.Module:
        if isinstance(model, nn.Module):
            return model
        return build_filled(model)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        if self._prepare is not None:
            self._prepare(model)
        if not self.distributed or next(model.parameters(), None) is None:
            return revert_sync_batchnorm(model).to(self.device)
        if self.cfg.get("sync_bn"):
            model = convert_sync_batchnorm(model, self.cfg.sync_bn)
        model = model.to(self.device)
        if self.strategy == "fsdp":
            return shard(model, self.device)
        idle = bool(getattr(model, "has_idle_parts", False))
        return DeviceDDP(model, self.device, **{"find_unused_parameters": idle, **(model_wrapper_cfg or {})})

    @property
    def bare_model(self) -> nn.Module:
        """The model without the wrapper for several processes."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def _init_model_weights(self) -> None:
        """Do nothing: ``prepare`` initialises the model before it is distributed."""

    # --- optimizer ---

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        if isinstance(optim_wrapper, Mapping) and optim_wrapper.get("type") == "AmpOptimWrapper":
            kept = {key: value for key, value in optim_wrapper.items() if key != "use_fsdp"}
            optim_wrapper = {**kept, "type": "MixedPrecision", "device": self.device.type}
        with rejections_explained("optim_wrapper"):
            built = super().build_optim_wrapper(optim_wrapper)
        if is_sharded(self.bare_model):
            for wrapper in _wrappers(built):
                adapt_to_shards(wrapper)
        return built

    def scale_lr(self, optim_wrapper: Any, auto_scale_lr: dict | None = None) -> None:
        """Scale the learning rate to the batch size of one optimizer step, and print both."""
        batch = self.step_batch(optim_wrapper)
        factor, written_for = 1.0, None
        if auto_scale_lr and auto_scale_lr.get("enable", False):
            if "base_batch_size" not in auto_scale_lr:
                raise ConfigError(
                    "auto_scale_lr",
                    expected="base_batch_size",
                    found="none",
                    advice="state the batch size of the config's lr",
                )
            written_for = auto_scale_lr["base_batch_size"]
            factor = batch / written_for
        groups = [group for wrapper in _wrappers(optim_wrapper) for group in wrapper.optimizer.param_groups]
        given = _wrappers(optim_wrapper)[0].optimizer.defaults.get("lr", groups[0]["lr"])
        for group in groups:
            group["lr"] *= factor
        made = f" = {given:.3g} x {factor:.4g}, written for {written_for}" if factor != 1 else ""
        self.note(f"learning rate {given * factor:.4g} for {batch} samples per step{made}")

    def step_batch(self, optim_wrapper: Any) -> int:
        """Return the samples per optimizer step, over all processes and accumulated iterations."""
        per_process = self.train_dataloader.batch_sampler.batch_size or 1
        return per_process * self.world_size * _wrappers(optim_wrapper)[0]._accumulative_counts

    def build_param_scheduler(self, scheduler: Any) -> Any:
        with rejections_explained("param_scheduler"):
            return super().build_param_scheduler(scheduler)

    # --- loops and hooks ---

    def build_train_loop(self, loop: Any) -> Any:
        cfg = _with_our_loop(loop)
        if isinstance(cfg, Mapping):
            cfg = dict(cfg)
            by_epoch = cfg.pop("by_epoch", None)
            if "type" not in cfg:
                cfg["type"] = "EpochLoop" if by_epoch else "IterLoop"
            return LOOPS.build(cfg, default_args=dict(runner=self, dataloader=self._train_dataloader))
        return cfg

    def build_val_loop(self, loop: Any) -> Any:
        with rejections_explained("val_cfg or val_evaluator"):
            return super().build_val_loop(_with_our_loop(loop, "ValidationLoop"))

    def build_test_loop(self, loop: Any) -> Any:
        with rejections_explained("test_cfg or test_evaluator"):
            return super().build_test_loop(_with_our_loop(loop, "MeasureLoop"))

    def build_evaluator(self, evaluator: Any) -> Any:
        built = super().build_evaluator(evaluator)
        for metric in built.metrics:
            if self.world_size > 1 and metric.collect_device == "cpu" and metric.collect_dir is None:
                metric.collect_dir = str(Path(self.work_dir) / ".collected")  # not in the current folder
        return built

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        super().call_hook(fn_name, **kwargs)
        self._has_ended = self._has_ended or fn_name == "after_run"

    def register_hook(self, hook: Any, priority: Any = None) -> None:
        if isinstance(hook, Mapping):
            hook = {**hook, "type": IN_PLACE_OF.get(hook["type"], hook["type"])}
        with rejections_explained(f"hook {hook['type'] if isinstance(hook, Mapping) else type(hook).__name__}"):
            super().register_hook(hook, priority)

    # --- checkpoints ---

    def describe(self) -> dict[str, Any]:
        """Return a description of the weights: metadata of the data set, config, seed, versions, time."""
        meta = getattr(self.train_dataloader.dataset, "metainfo", None) or {}
        return {
            "dataset_meta": checkpoints.plain(meta),
            "cfg": self._config_text or self.cfg.pretty_text,
            "seed": self.seed,
            "variants": variants_of(self.bare_model),
            "visionzoo_version": __version__,
            "torch_version": str(torch.__version__),
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }

    def weights_to_use(self) -> dict[str, Any]:
        """Return the weights that validation uses: the averaged ones, if there are any."""
        checkpoint = {"state_dict": model_state(self.bare_model)}
        for hook in self.hooks:
            if isinstance(hook, EMAHook):
                hook.before_save_checkpoint(self, checkpoint)
        return checkpoint["state_dict"]

    def save_state(self, path: Path, meta: Mapping[str, Any], *, with_optimizer: bool = True) -> None:
        """Write a checkpoint to resume from. Every process must call this; the first one writes."""
        model = self.bare_model
        checkpoint: dict[str, Any] = {
            "meta": {**self.describe(), **meta},
            "state_dict": model_state(model),
            "message_hub": checkpoints.pack_message_hub(self.message_hub),
            "loop": self.train_loop.position(),
            "ranks": distributed.gather(self._own_state()),
            "hooks": {},
        }
        if with_optimizer:
            checkpoint["optimizer"] = optimizer_state(model, self.optim_wrapper)
            checkpoint["param_schedulers"] = [checkpoints.on_cpu(s.state_dict()) for s in self._all_schedulers()]
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        if distributed.is_first():
            checkpoints.save_checkpoint(path, {key: _saveable(value) for key, value in checkpoint.items()})

    def _own_state(self) -> dict[str, Any]:
        named = self.bare_model.named_parameters()
        gradients = {} if is_sharded(self.bare_model) else {n: p.grad for n, p in named if p.grad is not None}
        return {"random": RandomStates.now(self.device).packed(), "gradients": checkpoints.on_cpu(gradients)}

    def save_now(self) -> Path | None:
        """Save a checkpoint between two iterations, on a request to stop. Return None before the first iteration."""
        loop = self.train_loop
        if loop.iter == 0:
            return None
        whole = isinstance(loop, EpochBasedTrainLoop) and loop.batch == 0
        path = Path(self.work_dir) / (f"epoch_{loop.epoch}.pth" if whole else f"iter_{loop.iter}.pth")
        self.save_state(path, dict(epoch=loop.epoch, iter=loop.iter))
        if distributed.is_first():
            checkpoints.point_to(path)
        return path

    def load_or_resume(self) -> None:
        if self._has_loaded or not (self._resume and self._load_from):
            return
        self.resume(self._load_from)
        self._has_loaded = True

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Restore the full state of a run from its checkpoint.

        Raises:
            CheckpointError: the checkpoint is broken, incomplete, or from another model, optimizer or schedule.
        """
        path = Path(filename)
        checkpoint = checkpoints.read_resumable(path)
        has_ema = any(isinstance(hook, EMAHook) for hook in self.hooks)
        begins = checkpoints.require_same_averaging(checkpoint, path, has_ema=has_ema)
        if begins:
            self.note(begins)
        require_stated_variants(self.bare_model, checkpoint["meta"], path)
        if len(checkpoint["ranks"]) != self.world_size:
            self.note(f"{path}: saved by {len(checkpoint['ranks'])} processes, resumed by {self.world_size}: not exact")
        try:
            self._restore(checkpoint, path)
        except checkpoints.UNFIT as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise CheckpointError(
                path,
                expected="the state of this run",
                found=f"a changed one ({reason})",
                advice=f"resume from an earlier checkpoint, or start from its weights with {option('weights')}",
            ) from error
        meta = checkpoint["meta"]
        done = f"{counted(meta['epoch'], 'epoch')}, {counted(meta['iter'], 'iteration')}"
        self.note(f"resumed {path}: {done} done")
        self._state_if_complete(meta)
        if self._on_resume is not None:
            self._on_resume()

    def _state_if_complete(self, meta: Mapping[str, Any]) -> None:
        """Note that the run is complete; raise an error if it is longer than the config."""
        by_epoch = isinstance(self.train_loop, EpochBasedTrainLoop)
        done, unit = (meta["epoch"], "epochs") if by_epoch else (meta["iter"], "iterations")
        total = self.max_epochs if by_epoch else self.max_iters
        if done > total:
            raise ConfigError(
                "train_cfg",
                expected=f"more than the {done} {unit} that are done",
                found=f"{total}",
                advice="raise it (--epochs)",
            )
        if done == total:
            self.note(f"all {total} {unit} are done; a larger number of epochs continues the training")

    def _restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        self._load_state(checkpoint, str(path))
        meta = checkpoint["meta"]
        self.train_loop.go_to(checkpoint["loop"], meta["epoch"], meta["iter"])
        mine = checkpoint["ranks"][min(self.rank, len(checkpoint["ranks"]) - 1)]
        self._waiting, self._gradients = RandomStates.unpacked(mine["random"]), mine["gradients"]

    def _load_state(self, checkpoint: dict[str, Any], where: str) -> None:
        model = self.bare_model
        try:
            load_model_state(model, checkpoint["state_dict"])
        except RuntimeError as error:
            raise CheckpointError(
                where,
                expected="the weights of this config's model",
                found="those of another model",
                advice=f"resume with the run's config, or start from its weights with {option('weights')}\n{error}",
            ) from error
        checkpoints.unpack_message_hub(self.message_hub, checkpoint["message_hub"])
        fresh = checkpoints.FreshRates(wrapper.optimizer for wrapper in _wrappers(self.optim_wrapper))
        checkpoints.load_optimizer(_Loading(model, self.optim_wrapper), checkpoint["optimizer"], where)
        if not self._new_rates:
            checkpoints.load_schedulers(self._all_schedulers(), checkpoint.get("param_schedulers", []), where)
            return
        fresh.restore()
        checkpoints.replay(self._all_schedulers(), self._epochs_before(checkpoint["meta"]))

    def _epochs_before(self, meta: Mapping[str, Any]) -> list[int]:
        """Return the iterations of each epoch before a checkpoint, and of the epoch that it interrupts."""
        if not isinstance(self.train_loop, EpochBasedTrainLoop):
            return [meta["iter"]]
        length = len(self.train_dataloader)
        return [*[length] * meta["epoch"], max(0, meta["iter"] - length * meta["epoch"])]

    def restore_random_states(self) -> None:
        """Restore random states and gradients once, just before the first resumed iteration.

        At that point nothing else draws random numbers before the iteration.
        """
        if self._waiting is None:
            return
        self._waiting.restore(self.device)
        self._waiting = None
        parameters = dict(self.bare_model.named_parameters())
        for name, gradient in self._gradients.items():
            parameters[name].grad = gradient.to(parameters[name].device)
        if self._gradients and getattr(self.model, "find_unused_parameters", False):
            mark_as_used([parameters[name] for name in self._gradients])
        self._gradients = {}

    def _all_schedulers(self) -> list[Any]:
        schedulers = self.param_schedulers or []
        return (
            [s for some in schedulers.values() for s in some] if isinstance(schedulers, Mapping) else list(schedulers)
        )

    # --- the end ---

    def close(self) -> None:
        """End workers, close files and remove mmengine's global objects of this run.

        A later run in the same process then starts clean.
        """
        for loop in (self._train_loop, self._val_loop, self._test_loop):
            loader = getattr(loop, "dataloader", None)
            if isinstance(loader, ZooLoader):
                loader.stop()
        for hook in self.hooks:
            if hasattr(hook, "close"):
                hook.close()
        if not (self._has_ended and any(isinstance(hook, LoggerHook) for hook in self.hooks)):
            self.visualizer.close()  # else the hook has closed it; MLflow would begin a second run
        for handler in self.logger.handlers:
            handler.close()
        for keeper in (MMLogger, MessageHub, Visualizer, DefaultScope):
            keeper._instance_dict.pop(self._experiment_name, None)
        if self._deterministic:
            torch.use_deterministic_algorithms(False)


class _Loading:
    """Adapter with ``load_state_dict`` for the optimizer of a sharded or whole model."""

    def __init__(self, model: nn.Module, wrapper: Any):
        self.model, self.wrapper = model, wrapper

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_optimizer_state(self.model, self.wrapper, state)


def quieten(logger: MMLogger, level: int) -> None:
    """Send mmengine's log records of ``level`` and above to stderr, without noise; stdout is for results."""
    logger.addFilter(is_news)
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.stream = sys.stderr  # not setStream: it flushes the old one, which may be closed
            handler.setFormatter(Plain())
            handler.setLevel(level if distributed.is_first() else logging.ERROR)


def _wrappers(optim_wrapper: Any) -> list[Any]:
    return list(optim_wrapper.values()) if hasattr(optim_wrapper, "optim_wrappers") else [optim_wrapper]


def _with_our_loop(loop: Any, default: str | None = None) -> Any:
    if not isinstance(loop, Mapping):
        return loop
    kind = loop.get("type", default)
    if kind in (EpochBasedTrainLoop, IterBasedTrainLoop):
        kind = kind.__name__
    known = isinstance(kind, str) and kind in _LOOPS
    return {**loop, "type": _LOOPS[kind]} if known else {**loop, **({"type": kind} if kind else {})}


def _saveable(value: Any) -> Any:
    """Return ``value`` in plain types, because strict reading refuses the NumPy numbers of schedulers."""
    return value if hasattr(value, "_metadata") else checkpoints.plain(value)
