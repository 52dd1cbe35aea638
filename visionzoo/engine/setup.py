"""What training and measuring both need before they start: processes, data, a runner."""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from visionzoo.config import LoadedConfig
from visionzoo.config.checking import require_valid
from visionzoo.engine.best_metric import best_metric_of
from visionzoo.engine.loaders import build_dataset, build_loader
from visionzoo.engine.runner import ZooRunner, quieten
from visionzoo.engine.settings import RunOptions, strategy_of
from visionzoo.errors import ConfigError
from visionzoo.registry import SCOPE
from visionzoo.system import distributed
from visionzoo.system.devices import choose_device
from visionzoo.weights.safe_load import close_pickle_fallback

# Warnings of libraries that a user can do nothing about: mmdet's about mmdet; mmengine's about schedulers
# that step before the optimizer, as they do and shall with accumulation.
_NOT_NEWS = ("DeprecationWarning: `num_anchors` is deprecated", "Detected call of `scheduler.step")


@contextmanager
def processes(cfg: Config, options: RunOptions) -> Iterator[torch.device]:
    """Join the other processes, if there are any; gives this one's device."""
    launcher = distributed.find_launcher()
    device = choose_device(options.device, distributed.local_rank())
    joined_before = distributed.world_size() > 1
    asked = dict((cfg.get("env_cfg") or {}).get("dist_cfg") or {})
    distributed.start(launcher, device, timeout=asked.get("timeout", 1800), backend=asked.get("backend"))
    try:
        with DefaultScope.overwrite_default_scope(SCOPE), warnings.catch_warnings():
            for start in _NOT_NEWS:
                warnings.filterwarnings("ignore", message=start)
            yield device
    finally:
        if not joined_before:
            distributed.stop()


def check(loaded: LoadedConfig, *, verbose: bool) -> None:
    """Everything that can be said to be wrong before anything is built."""
    close_pickle_fallback()
    quieten(MMLogger.get_instance("visionzoo"), 0 if verbose else 30)
    require_valid(loaded)


def note_to_user(options: RunOptions) -> Callable[[str], None]:
    """Prints a line on stderr, from the first process only, unless quiet."""
    if options.quiet or not distributed.is_first():
        return lambda text: None
    return lambda text: print(text, file=sys.stderr, flush=True)


def progress_hook(cfg: Config, options: RunOptions) -> dict:
    """A bar on a terminal, lines elsewhere, nothing with -q or in other processes than the first."""
    interval = ((cfg.get("default_hooks") or {}).get("logger") or {}).get("interval", 50)
    if options.quiet or not distributed.is_first():
        style = "none"
    else:
        style = "bar" if sys.stderr.isatty() and not options.no_progress else "lines"
    return dict(type="ProgressHook", style=style, interval=interval)


def build_split(cfg: Config, split: str, device: torch.device, dataset: Any = None) -> DataLoader | None:
    """The loader of ``train``, ``val`` or ``test``; None when the config has none.

    Raises:
        ConfigError: its batches would be none.
    """
    key = f"{split}_dataloader"
    part = cfg.get(key)
    if part is None:
        return None
    if dataset is None:
        dataset = build_dataset(part.dataset, where=f"{key}.dataset")
    loader = build_loader(
        part, dataset, seed=cfg.randomness.seed, mp_cfg=(cfg.get("env_cfg") or {}).get("mp_cfg"), device=device
    )
    if len(loader) == 0:
        raise ConfigError(
            f"{key}: expected at least one batch, found {len(dataset)} samples for a batch of {part.batch_size} with "
            "drop_last; lower batch_size"
        )
    return loader


def make_runner(
    loaded: LoadedConfig, options: RunOptions, device: torch.device, work_dir: Path, **kwargs: Any
) -> ZooRunner:
    """A runner for ``loaded``; ``kwargs`` say what it trains or measures."""
    cfg = loaded.cfg
    return ZooRunner(
        model=cfg.model,
        work_dir=str(work_dir),
        device=device,
        strategy=strategy_of(cfg),
        replaced=loaded.replaced,
        notes=note_to_user(options),
        best_metric=best_metric_of(cfg.get("task")),
        verbose=options.verbose and not options.quiet,
        launcher="pytorch" if distributed.world_size() > 1 else "none",
        env_cfg=cfg.get("env_cfg") or {},
        log_processor=cfg.get("log_processor"),
        log_level=cfg.get("log_level", "INFO"),
        visualizer=_visualizer(cfg),
        default_scope=SCOPE,
        randomness=dict(cfg.randomness),
        experiment_name=loaded.name,
        cfg=cfg,
        **kwargs,
    )


def _visualizer(cfg: Config) -> dict | None:
    given = dict(cfg.get("visualizer") or {})
    if cfg.get("vis_backends") is not None:
        given.setdefault("vis_backends", cfg.vis_backends)
    return given or None


@contextmanager
def listening(runner: ZooRunner) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a request that the loop answers; a second Ctrl-C stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if runner.stop_asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not runner.stop_asked:
            runner.note("stopping after this iteration; Ctrl-C again stops at once, without saving")
        runner.stop_asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
