"""The ``visionzoo`` command. Each subcommand is a module of this package with ``main(argv) -> int``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from visionzoo._version import __version__
from visionzoo.errors import nearest_name
from visionzoo.system.ending import end_process

COMMANDS = {
    "train": "train a model from a config",
    "test": "measure a model with its data set's official metric",
    "compare": "compare the numbers of trainings or tests",
    "merge": "join the heads of runs on one trunk into one model",
    "infer": "run a model on images",
    "explain": "draw which places of an image raise a result (Grad-CAM)",
    "check-data": "find everything that is wrong with a data set",
    "browse": "draw what a model is really fed, with the truth",
    "export": "write a model as ONNX or torch.export",
    "eval": "measure files of predictions with an official metric, without a model",
    "register": "bring a moving image to a fixed one",
    "transform": "apply written fields and affine maps to files",
    "matrix": "try every backbone with every neck and head",
    "search": "search a network (BossNAS)",
    "list": "list the models of the zoo",
    "show": "print a model's card",
    "config": "show, compare or check configs",
    "cards": "verify model cards",
    "weights": "list, fetch and check released weights; push a model to the Hugging Face Hub",
    "convert": "convert checkpoints and data sets",
    "env": "print versions, devices and which ops are compiled",
}

# Modules whose name differs from the name of their command. A module ``list`` would shadow the builtin.
_MODULES = {"check-data": "check_data", "list": "list_models", "show": "show_card", "weights": "manage_weights"}


def usage() -> str:
    """Return the text of ``visionzoo --help``."""
    rows = "\n".join(f"  {name:<10} {what}" for name, what in COMMANDS.items())
    return f"""usage: visionzoo COMMAND ...

commands:
{rows}

`visionzoo COMMAND --help` lists the options. Two examples:
  visionzoo train rcnet_retinanet --tiny
  visionzoo infer rcnet_retinanet images/ --weights work_dirs/rcnet_retinanet"""


def run(*words: str) -> NoReturn:
    """Run the command of the process, and end the process with its exit code.

    Args:
        words: put before the words of the command line, such as the command's name.
    """
    end_process(main([*words, *sys.argv[1:]]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after ``visionzoo``; None for those of the process.

    Returns:
        The exit code: 0 success, 1 the task failed, 2 wrong use, 130 interrupted.

    Example:
        >>> main(["--version"])  # doctest: +ELLIPSIS
        visionzoo ...
        0
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        print(f"visionzoo {__version__}")
        return 0
    name, *rest = args
    if name not in COMMANDS:
        nearest = nearest_name(name, COMMANDS)
        answer = f"did you mean {nearest}?" if nearest else "`visionzoo --help` lists them all"
        print(f"error: no command is called {name!r}; {answer}", file=sys.stderr)
        return 2
    return import_module(f"visionzoo.cli.{_MODULES.get(name, name)}").main(rest)
