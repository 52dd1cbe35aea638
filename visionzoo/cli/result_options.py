"""Options of ``visionzoo infer`` that select results and name further files of results."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from visionzoo.errors import InputError

_FLAGS = ("--threshold", "--score-threshold")


def add_result_flags(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser."""
    parser.add_argument(
        *_FLAGS,
        dest="threshold",
        action="append",
        default=[],
        metavar="SCORE|CLASS=SCORE",
        help="leave out results with a lower score; one score for all, and scores of single classes: 0.3 cat=0.5 "
        "(default: boxes 0.3, classes 0; maps, lanes: set by the model)",
    )
    parser.add_argument(
        "--classes", metavar="NAME,...", help="keep only results of these classes (default: all classes)"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="keep the N best results of each input (default: all; of classes 5)"
    )
    parser.add_argument(
        "--save",
        type=lambda text: text.split(","),
        default=[],
        metavar="FORMAT,...",
        help="further files of results: txt for YOLO lines of boxes and masks (default: none)",
    )
    parser.add_argument("--save-crops", action="store_true", help="write each box or mask as an image (default: off)")


def split_thresholds(words: Sequence[str]) -> list[str]:
    """Return a command line with one ``--threshold=VALUE`` for each value that follows ``--threshold``.

    The first word after it is always a value. A further word is a value if it has the form of one and no such
    path exists.

    Example:
        >>> split_thresholds(["scnn", "--threshold", "0.3", "cat=0.5", "images/"])
        ['scnn', '--threshold=0.3', '--threshold=cat=0.5', 'images/']
    """
    result: list[str] = []
    flag, is_first = "", False
    for word in words:
        if word in _FLAGS:
            flag, is_first = word, True
            result.append(word)
        elif flag and is_first and not word.startswith("--"):
            result[-1] = f"{flag}={word}"
            is_first = False
        elif flag and not is_first and _is_threshold(word):
            result.append(f"{flag}={word}")
        else:
            flag = ""
            result.append(word)
    return result


def _is_threshold(word: str) -> bool:
    if word.startswith("-") or os.path.exists(word):
        return False
    try:
        float(word)
    except ValueError:
        return "=" in word
    return True


def thresholds_of(values: Sequence[str]) -> tuple[float | None, dict[str, float]]:
    """Return the threshold for all classes, None if it is not given, and the thresholds of single classes.

    Raises:
        InputError: a value is not a number.

    Example:
        >>> thresholds_of(["0.3", "cat=0.5"])
        (0.3, {'cat': 0.5})
    """
    for_all, for_class = None, {}
    for value in values:
        name, _, number = value.rpartition("=")
        try:
            score = float(number)
        except ValueError as error:
            raise InputError(
                "--threshold", expected="a score such as 0.3, or cat=0.3", found=f"{value!r}", advice="give a number"
            ) from error
        if name:
            for_class[name] = score
        else:
            for_all = score
    return for_all, for_class
