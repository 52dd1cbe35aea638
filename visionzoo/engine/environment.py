"""Environment of a run: the other processes, signals, and notes to the user."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from visionzoo.config import LoadedConfig
from visionzoo.config.checking import require_valid
from visionzoo.engine.run_options import RunOptions
from visionzoo.engine.runner import ZooRunner, quieten
from visionzoo.registry import SCOPE
from visionzoo.system import distributed
from visionzoo.system.devices import choose_device
from visionzoo.system.library_warnings import without_library_warnings
from visionzoo.weights.loaders import close_pickle_fallback


@contextmanager
def processes(cfg: Config, options: RunOptions) -> Iterator[torch.device]:
    """Join the other processes, if there are any, and yield the device of this process."""
    launcher = distributed.find_launcher()
    device = choose_device(options.device, distributed.local_rank())
    joined_before = distributed.world_size() > 1
    settings = dict((cfg.get("env_cfg") or {}).get("dist_cfg") or {})
    distributed.start(launcher, device, timeout=settings.get("timeout", 1800), backend=settings.get("backend"))
    try:
        with DefaultScope.overwrite_default_scope(SCOPE), without_library_warnings():
            yield device
    finally:
        if not joined_before:
            distributed.stop()


def check(loaded: LoadedConfig, *, verbose: bool) -> None:
    """Check the config before anything is built.

    Raises:
        ConfigError: the config is wrong.
    """
    close_pickle_fallback()
    quieten(MMLogger.get_instance("visionzoo"), 0 if verbose else 30)
    require_valid(loaded)


def note_to_user(options: RunOptions) -> Callable[[str], None]:
    """Return a function that prints a line on stderr. It prints nothing if quiet or outside the first process."""
    if options.quiet or not distributed.is_first():
        return lambda text: None
    return lambda text: print(text, file=sys.stderr, flush=True)


@contextmanager
def listening(runner: ZooRunner) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop, which the loop reads; a second Ctrl-C stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request_stop(number: int, frame: FrameType | None) -> None:
        if runner.stop_asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not runner.stop_asked:
            runner.note("stopping after this iteration; Ctrl-C again stops at once, without saving")
        runner.stop_asked = True

    before = {number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
