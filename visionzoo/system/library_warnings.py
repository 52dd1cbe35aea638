"""Warnings of libraries that a user cannot act on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# mmdet warns about its own code, and torch about that of mmdet; mmengine warns about schedulers that step before the
# optimizer, which is correct with accumulation; mmseg warns about its default, with which the papers trained.
_NOT_NEWS = (
    "DeprecationWarning: `num_anchors` is deprecated",
    "Detected call of `scheduler.step",
    "torch.meshgrid: in an upcoming release",
    "find_unused_parameters=True was specified",  # a batch may leave out heads, and not every batch does
    "Default ``avg_non_ignore`` is False",
)


@contextmanager
def without_library_warnings() -> Iterator[None]:
    """Hide these warnings in the block.

    Example:
        >>> with without_library_warnings():
        ...     warnings.warn("torch.meshgrid: in an upcoming release, ...", stacklevel=1)
    """
    with warnings.catch_warnings():
        for start in _NOT_NEWS:
            warnings.filterwarnings("ignore", message=start)
        yield
