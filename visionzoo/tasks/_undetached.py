"""Gradients through the predictions of mmdet's dense heads, which detach the outputs of each level."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAME = "select_single_mlvl"


@contextmanager
def undetached() -> Iterator[None]:
    """Let the outputs of all levels keep their graph while mmdet makes boxes of them.

    mmdet's ``select_single_mlvl(maps, image, detach=True)`` is called with ``detach=False`` in the block. The values
    are the same.
    """
    modules = [vars(module) for name, module in sys.modules.items() if name.startswith("mmdet.models")]
    users = [names for names in modules if _NAME in names]
    kept = [names[_NAME] for names in users]
    for names, original in zip(users, kept, strict=True):
        names[_NAME] = _with_graph(original)
    try:
        yield
    finally:
        for names, original in zip(users, kept, strict=True):
            names[_NAME] = original


def _with_graph(original: Any) -> Any:
    def select(maps: Any, image: int, detach: bool = True) -> Any:
        return original(maps, image, detach=False)

    return select
