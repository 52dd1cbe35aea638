"""Errors of a model's parts in training, as one sentence."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from visionzoo.engine.loaders import sample_names
from visionzoo.engine.workers import LIBRARIES, failed_part, is_explained
from visionzoo.errors import ZooError, some_of

_PARTS = (*LIBRARIES, "timm.", "torchvision.")
_SHOWN = 3


@contextmanager
def model_explained(batch: Any) -> Iterator[None]:
    """Raise an exception of a model's part of a library as one sentence; pass all others through.

    Failures of memory pass through to :func:`visionzoo.engine.workers.explained`, those of a user's part to the user,
    who needs the traceback.

    Args:
        batch: the batch of the iteration, as the loader returned it.

    Raises:
        ConfigError: a part fails on the batch.

    Example:
        >>> with model_explained({"inputs": [], "data_samples": []}):
        ...     pass
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        part = _failed_part(error)
        if part is None or is_explained(error):
            raise
        names = some_of(sample_names(batch), most=_SHOWN)
        raise failed_part(f"model, {part}", error, fits="the batch", on=names) from error


def _failed_part(error: Exception) -> str | None:
    """Return the class name of the innermost part in which an exception was raised, if a library has that part."""
    owners = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    parts = [type(owner) for owner in owners if isinstance(owner, nn.Module)]
    own = [part for part in parts if not part.__module__.startswith("torch.")]
    return own[-1].__name__ if own and own[-1].__module__.startswith(_PARTS) else None
