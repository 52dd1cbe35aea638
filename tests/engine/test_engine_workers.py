"""Errors of workers: one sentence in the main process, of the same class, in every kind of loader and loop."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn, zeros

from visionzoo.engine.loaders import build_loader, start_worker
from visionzoo.engine.workers import explained
from visionzoo.errors import ConfigError, DataError, RunFailed, UnknownName, ZooError
from visionzoo.registry import TRANSFORMS

BROKEN = 5


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def exit_at_once() -> None:
    os._exit(3)


def fail(error: BaseException) -> None:
    raise error


class Numbers:
    """Eight samples; sample 5 calls ``broken``."""

    def __init__(self, broken: Callable[[], None]):
        self.broken = broken

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        if index == BROKEN:
            self.broken()
        return index


def loader_of(broken: Callable[[], None], **settings: Any) -> Any:
    cfg = dict(batch_size=2, num_workers=1, sampler=range(8), collate_fn=list, multiprocessing_context="fork")
    return build_loader({**cfg, **settings}, Numbers(broken), seed=0)


ERRORS = [
    DataError("a.png", expected="an image", found="text", advice="copy it again"),
    UnknownName("ct", kind="class", known=["cat"]),
    ConfigError("Resize", ["first", "second"], expected="a size", found="none"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "settings",
    [
        dict(num_workers=0),
        dict(),
        dict(num_workers=2),
        dict(persistent_workers=True),
        dict(prefetch_factor=4, pin_memory=True),
        dict(batch_size=8),
        dict(batch_size=1, timeout=20),
    ],
    ids=str,
)
def test_error_of_the_zoo_arrives_unchanged(error, settings):
    loader = loader_of(lambda: fail(error), **settings)
    batches = []
    with pytest.raises(ZooError) as caught:
        batches.extend(iter(loader))
    loader.stop()
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)
    assert caught.value.problems == error.problems
    assert caught.value.where == error.where


def test_stop_ends_the_workers_of_an_iteration_that_is_not_finished():
    loader = loader_of(lambda: None, num_workers=2)
    batches = iter(loader)
    next(batches)
    assert multiprocessing.active_children()
    loader.stop()
    assert not multiprocessing.active_children()


def test_error_of_the_collate_function_arrives_unchanged():
    error = DataError("images: expected one size, found two")
    with pytest.raises(DataError) as caught:
        list(loader_of(lambda: None, collate_fn=lambda samples: fail(error)))
    assert str(caught.value) == str(error)


def test_traceback_of_the_worker_is_kept_as_a_note():
    with pytest.raises(DataError) as caught:
        list(loader_of(lambda: fail(ERRORS[0])))
    assert "in a worker of the loader" in caught.value.__notes__[0]
    assert caught.value.__notes__[0].count("Traceback") == 1


def test_other_exceptions_keep_one_traceback():
    with pytest.raises(ValueError, match="a bug") as caught, explained():
        list(loader_of(lambda: fail(ValueError("a bug"))))
    assert str(caught.value).count("Traceback") == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_failing_step_of_a_library_is_one_sentence(workers):
    step = TRANSFORMS.build(dict(type="mmcv.RandomResize", scale=(8, 8), ratio_range=(2.0, 0.5)))
    with pytest.raises(ConfigError, match=r"pipeline step RandomResize: .* but it fails \(AssertionError") as caught:
        list(loader_of(lambda: step({"img": np.zeros((4, 5, 3), np.uint8)}), num_workers=workers))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (kill, "a worker of the loader was killed"),
        (exit_at_once, "a worker of the loader ended"),
        (lambda: os.kill(os.getpid(), signal.SIGBUS), "no shared memory left; enlarge /dev/shm"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "a worker of the loader crashed"),
        (lambda: fail(MemoryError()), "a worker of the loader needs more memory"),
    ],
    ids=["killed", "ended", "bus error", "crashed", "memory"],
)
def test_death_of_a_worker_is_one_sentence(broken, says):
    with pytest.raises(RunFailed, match=says) as caught, explained():
        list(loader_of(broken))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("DataLoader timed out after 3 seconds"), "raise timeout"),
        (RuntimeError("received 0 items of ancdata"), "ulimit -n"),
        (OSError(24, "Too many open files"), "ulimit -n"),
        (RuntimeError("unable to open shared memory object </torch_1> in read-write mode"), "/dev/shm"),
        (MemoryError(), "more memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), "lower batch_size"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "lower batch_size"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_exhausted_resources_are_one_sentence(error, says):
    with pytest.raises(RunFailed, match=says), explained():
        raise error


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("no"), OSError(2, "No such file")])
def test_other_errors_of_a_run_pass_through(error):
    with pytest.raises(type(error)) as caught, explained():
        raise error
    assert caught.value is error


def test_batch_norm_of_one_value_per_channel():
    with pytest.raises(ConfigError, match="batch_size: expected two or more values per channel"), explained():
        nn.BatchNorm2d(4).train()(zeros(1, 4, 1, 1))


def test_a_worker_outlives_sigterm_for_a_while() -> None:
    """A scheduler sends it to all processes, and the main one still finishes its iteration and saves."""
    child = os.fork()
    if child == 0:
        start_worker(0, seed=0, user_init=None, threads=None)
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(signal.alarm(0))
    assert 30 < os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) <= 60
