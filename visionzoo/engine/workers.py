"""Errors of the workers of a loader, as one sentence in the main process.

torch sends an exception of a worker as the text of its traceback. Here a :class:`ZooError` arrives as the same error.
The death of a worker reaches the main process as a ``RuntimeError`` between any two statements; :func:`explained` turns
it into a sentence.
"""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, get_worker_info

from visionzoo.errors import ConfigError, RunFailed, ZooError

_FEWER = "lower num_workers, batch_size or the size of the images"
_MEMORY = "more memory than the machine has free"

# Part of the message of an exception -> what happened, and the advice. The first match is used.
_FAILURES: tuple[tuple[str, str, str], ...] = (
    (
        "killed by signal: Bus error",
        "a worker of the loader had no shared memory left",
        "enlarge /dev/shm (docker run --shm-size=8g), or lower num_workers or batch_size",
    ),
    ("killed by signal: Killed", "a worker of the loader was killed, which a machine without free memory does", _FEWER),
    ("killed by signal", "a worker of the loader crashed", "train with num_workers=0 to see the place"),
    (
        "exited unexpectedly",
        "a worker of the loader ended, which a machine without free memory causes",
        f"{_FEWER}, or train with num_workers=0 to see the place",
    ),
    ("DataLoader timed out", "the workers of the loader sent no batch in time", "raise timeout, or lower num_workers"),
    ("Too many open files", "the workers of the loader had too many open files", "raise `ulimit -n`"),
    ("items of ancdata", "the workers of the loader had too many open files", "raise `ulimit -n`"),
    ("shared memory", "a worker of the loader had no shared memory left", "enlarge /dev/shm, or lower num_workers"),
    ("out of memory", f"the run needs {_MEMORY}", "lower batch_size or the size of the images, or use mixed precision"),
    ("allocate memory", f"the run needs {_MEMORY}", "lower batch_size or the size of the images"),
    ("MemoryError", f"a worker of the loader needs {_MEMORY}", _FEWER),
)

_ONE_VALUE = "Expected more than 1 value per channel when training"


@dataclass(frozen=True)
class WorkerError:
    """A batch that a worker sends instead of samples: the error that it met."""

    error: ZooError


class ZooLoader(DataLoader):
    """:class:`torch.utils.data.DataLoader` that raises the :class:`ZooError` of a worker unchanged.

    Its data set returns ``[WorkerError(...)]`` for a failed batch; ``collate_fn`` is :class:`CarriesErrors`.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._running: weakref.WeakSet[Any] = weakref.WeakSet()

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        batches = super().__iter__()
        self._running.add(batches)
        return _raised(batches)

    def stop(self) -> None:
        """End all workers. If they end only when Python exits, torch may report that they were killed."""
        for batches in list(self._running):
            if hasattr(batches, "_shutdown_workers"):
                batches._shutdown_workers()
        self._running.clear()
        self._iterator = None


def _raised(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        if isinstance(batch, WorkerError):
            raise batch.error
        yield batch


def in_worker(call: Callable[[], Any]) -> Any:
    """Return the result of ``call``. In a worker, a :class:`ZooError` is returned as a :class:`WorkerError`.

    Example:
        >>> in_worker(lambda: 3)
        3
    """
    try:
        with steps_explained():
            return call()
    except ZooError as error:
        if get_worker_info() is None:
            raise
        error.add_note(f"in a worker of the loader:\n{traceback.format_exc()}")  # --traceback prints it
        return WorkerError(error)


# Packages whose steps are named if they fail. An exception of a user's step passes through.
LIBRARIES = ("visionzoo.", "mmengine.", "mmcv.", "mmdet.", "mmseg.")


@contextmanager
def steps_explained() -> Iterator[None]:
    """Raise an exception of a pipeline's step of a library as one sentence; pass all others through.

    Raises:
        ConfigError: a step fails on a sample.

    Example:
        >>> with steps_explained():
        ...     pass
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        step = _failed_step(error)
        if step is None or _failure(error) is not None:
            raise
        raise failed_part(f"pipeline step {step}", error, fits="the samples", also=" or the steps before it") from error


def failed_part(where: str, error: Exception, *, fits: str, on: str = "", also: str = "") -> ConfigError:
    """Return an exception of a library's part as one sentence.

    Args:
        where: the part.
        error: the exception.
        fits: what the arguments of the part should fit.
        on: the samples, for the message.
        also: what else may be wrong.
    """
    reason = " ".join(f"{error}".split()) or "no reason given"
    return ConfigError(
        where,
        expected=f"arguments that fit {fits}",
        but=f"it fails{on and f' on {on}'} ({type(error).__name__}: {reason})",
        advice=f"correct its arguments{also}; the traceback (--traceback) shows the place",
    )


def _failed_step(error: Exception) -> str | None:
    """Return the class name of the innermost step of a library in which an exception was raised."""
    owners = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    steps = [type(owner) for owner in owners if hasattr(owner, "transform")]
    return next((step.__name__ for step in reversed(steps) if step.__module__.startswith(LIBRARIES)), None)


class CarriesErrors:
    """A collate function that passes the error of a worker on.

    Example:
        >>> CarriesErrors(sum)([1, 2])
        3
    """

    def __init__(self, collate: Callable[[list[Any]], Any]):
        self.collate = collate

    def __call__(self, samples: list[Any]) -> Any:
        failed = [sample for sample in samples if isinstance(sample, WorkerError)]
        return failed[0] if failed else in_worker(lambda: self.collate(samples))


@contextmanager
def explained() -> Iterator[None]:
    """Raise failures of workers, of memory and of batch norm during a run as one sentence; pass all others through.

    Raises:
        RunFailed: a worker died, or the memory is exhausted.
        ConfigError: batch norm received one value per channel.

    Example:
        >>> with explained():
        ...     raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
        Traceback (most recent call last):
        ...
        visionzoo.errors.RunFailed: a worker of the loader was killed, ...
    """
    try:
        yield
    except ZooError:
        raise
    except (RuntimeError, MemoryError, OSError) as error:
        failure = _failure(error)
        if failure is None:
            raise
        raise failure from error
    except ValueError as error:
        if _ONE_VALUE not in str(error):
            raise
        raise one_value_per_channel() from error


def is_explained(error: Exception) -> bool:
    """Return True if :func:`explained` has a sentence for an exception.

    Example:
        >>> is_explained(RuntimeError("CUDA out of memory. Tried ...")), is_explained(TypeError("a bug"))
        (True, False)
    """
    return _ONE_VALUE in str(error) or _failure(error) is not None


def _failure(error: BaseException) -> RunFailed | None:
    text = " ".join(_first_lines(error))
    return next((RunFailed(f"{what}; {advice}") for part, what, advice in _FAILURES if part in text), None)


def _first_lines(error: BaseException | None) -> Iterator[str]:
    """Yield the first line of an exception and of its causes: torch states the signal of a dead worker in a cause."""
    while error is not None:
        yield "MemoryError" if type(error) is MemoryError else str(error).partition("\n")[0]
        error = error.__cause__


def one_value_per_channel() -> ConfigError:
    """Return the error of a batch norm that receives a single value per channel."""
    return ConfigError(
        "train_dataloader.batch_size",
        expected="two or more values per channel, which batch norm needs in training",
        found="one (a batch of one image whose feature map is 1 x 1)",
        advice="use a batch of 2 or larger images; if only the last batch has one image, set drop_last=True",
    )
