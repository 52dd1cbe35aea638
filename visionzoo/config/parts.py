"""Which arguments of a model are parts: what a model's class says in ``PARTS``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One argument of a model that holds a part.

    Attributes:
        kind: ``preprocessor``, ``backbone``, ``neck``, ``head``, ``auxiliary head`` or ``text encoder``.
        listed: whether a list of such parts is taken as well.
    """

    kind: str
    listed: bool = False
