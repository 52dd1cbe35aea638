"""Log files of a run: its numbers as JSON lines or events, and mmengine's text without records without a use."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.visualization import LocalVisBackend, TensorboardVisBackend

from visionzoo.errors import MissingExtra
from visionzoo.registry import VISBACKENDS
from visionzoo.structures.undefined import UNDEFINED

# Records of mmengine that no user can act on: lists of all hooks and of all parameters with their learning rates, the
# name of the process, and warnings about normal states. The config states which parts are frozen and accumulated, and
# checkpoints hold the gradients of an unfinished accumulation.
_NOISE = re.compile(
    r"Hooks will be executed|paramwise_options -- |Exp name: |Resumed iteration number is not divisible"
    r"|Gradient accumulative may slightly|\S+ is skipped since its requires_grad"
)

# A number without samples in a line of numbers.
_ABSENT = re.compile(re.escape(f": {UNDEFINED:.4f}") + r"(?=\s|$)")


@VISBACKENDS.register_module()
class JsonLines(LocalVisBackend):
    """:class:`mmengine.visualization.LocalVisBackend` without the config, which the work dir already holds."""

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Do nothing: the work dir has its own ``config.py``."""


@VISBACKENDS.register_module()
class TensorBoardEvents(TensorboardVisBackend):
    """:class:`mmengine.visualization.TensorboardVisBackend` without the config, which the work dir already holds.

    Losses and learning rates are written over the iterations, metrics over the epochs; without epochs, over the
    iterations. A resumed run adds a file to the folder.
    """

    FOLDER = "tensorboard"  # in the work dir

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Do nothing: the work dir has its own ``config.py``."""


def with_tensorboard(backends: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Return the backends of a config and that of TensorBoard.

    Args:
        backends: ``vis_backends`` of the config; None for the usual one.

    Raises:
        MissingExtra: TensorBoard is not installed.

    Example:
        >>> with_tensorboard(None)
        [{'type': 'JsonLines'}, {'type': 'TensorBoardEvents'}]
    """
    own = [dict(backend) for backend in backends or [dict(type="JsonLines")]]
    if not any(_is_tensorboard(backend) for backend in own):
        own.append(dict(type=TensorBoardEvents.__name__))
    for backend in own:
        _require_extra(backend)
    return own


def complete_backends(backends: Sequence[Mapping[str, Any]] | None, work_dir: Path) -> list[dict[str, Any]]:
    """Return the backends of a run with their folders.

    Args:
        backends: ``vis_backends`` of the config; None for JSON lines.
        work_dir: folder of the run.

    Raises:
        MissingExtra: a backend needs a package that is not installed.
    """
    own = [dict(backend) for backend in backends or [dict(type="JsonLines")]]
    for backend in own:
        _require_extra(backend)
        folder = TensorBoardEvents.FOLDER if backend.get("type") == TensorBoardEvents.__name__ else "logs"
        backend.setdefault("save_dir", str(work_dir / folder))
    return own


def _is_tensorboard(backend: Mapping[str, Any]) -> bool:
    return "tensorboard" in str(backend.get("type")).lower()


def _require_extra(backend: Mapping[str, Any]) -> None:
    if _is_tensorboard(backend) and find_spec("tensorboard") is None:
        raise MissingExtra("tensorboard", "tensorboard", where=f"vis_backends: {backend['type']}")


def is_news(record: logging.LogRecord) -> bool:
    """Return False for a record that a user cannot use, as a filter of a logger; write absent numbers as ``-``.

    Example:
        >>> make = logging.makeLogRecord
        >>> is_news(make({"msg": "Exp name: run_1"})), is_news(make({"msg": "best so far"}))
        (False, True)
    """
    message = record.getMessage()
    record.msg, record.args = _ABSENT.sub(": -", message), ()
    return _NOISE.match(message) is None


class Plain(logging.Formatter):
    """Format of a record on a terminal: ``warning: message``, as the commands print their own warnings.

    Example:
        >>> Plain().format(logging.makeLogRecord({"levelname": "WARNING", "msg": "two masks are empty"}))
        'warning: two masks are empty'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return f"{record.levelname.lower()}: {super().format(record)}"


@contextmanager
def no_list_of_parameters() -> Iterator[None]:
    """Initialise a model without mmengine's list of all parameters, which is longer than the rest of the log."""
    with patch.object(BaseModule, "_dump_init_info", lambda self: None):
        yield
