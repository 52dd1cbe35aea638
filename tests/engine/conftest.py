"""Fixtures of the engine's tests: a toy config, and its runs in this process or in another one."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def toy_config(tmp_path: Path) -> Path:
    from engine_toys import CONFIG

    path = tmp_path / "toy.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def train_toy(toy_config: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Train the toy in this process: ``train_toy("name", options={...}, **run_options)``."""
    from visionzoo.config import load_config
    from visionzoo.engine.training import train

    def run(name: str, options: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
        loaded = load_config(toy_config, options=options or {}, allow_new=True)
        kwargs.setdefault("quiet", True)
        if not kwargs.get("resume"):
            kwargs.setdefault("work_dir", tmp_path / name)
        return train(loaded, **kwargs)

    return run


@pytest.fixture
def train_apart(train_toy: Callable) -> Callable[..., int]:
    """Like ``train_toy``, in a child process that may be killed; returns its exit status, negative for a signal."""

    def run(*args: Any, **kwargs: Any) -> int:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                train_toy(*args, **kwargs)
                status = 0
            except KeyboardInterrupt:
                status = 130
            except BaseException:
                traceback.print_exc(file=sys.__stderr__)  # capsys keeps that of the child in its memory
                sys.__stderr__.flush()
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return run


@pytest.fixture
def command() -> Callable[..., subprocess.CompletedProcess]:
    """Run a tool in its own process: ``command("train.py", "config", "--flag")``."""

    def run(tool: str, *arguments: Any, launcher: tuple[str, ...] = (), **kwargs: Any) -> subprocess.CompletedProcess:
        line = [sys.executable, *launcher, str(ROOT / "tools" / tool), *map(str, arguments)]
        env = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        return subprocess.run(line, capture_output=True, text=True, env=env, timeout=300, **kwargs)

    return run
