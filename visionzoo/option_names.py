"""Options in messages, in the form in which the user gives them: ``--seed 3`` in a shell, ``seed=3`` in Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# True while a command of the shell runs. It is not a context variable, because threads of a command must read it too.
_in_shell = False


@contextmanager
def shell_options() -> Iterator[None]:
    """Let :func:`option` return the form of the shell within the block."""
    global _in_shell
    before, _in_shell = _in_shell, True
    try:
        yield
    finally:
        _in_shell = before


def option(name: str, value: object = None) -> str:
    """Return an option and its value as the user writes them.

    Args:
        name: the name in Python, ``max_samples``.
        value: the value; True for a flag; None for only the name.

    Example:
        >>> option("max_samples"), option("weights", "none"), option("amp", True)
        ('max_samples', "weights='none'", 'amp=True')
        >>> with shell_options():
        ...     option("max_samples"), option("weights", "none"), option("amp", True)
        ('--max-samples', '--weights none', '--amp')
    """
    if not _in_shell:
        return name if value is None else f"{name}={value!r}"
    flag = f"--{name.replace('_', '-')}"
    return flag if value is None or value is True else f"{flag} {value}"
