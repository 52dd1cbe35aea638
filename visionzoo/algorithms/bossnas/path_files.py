"""YAML files of a search: the rating of a block's paths, and the best paths so far.

The authors write pairs as ``!!python/tuple``. The reader accepts only plain YAML and that tag, so that a file can
contain only data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from visionzoo.algorithms.bossnas import paths
from visionzoo.errors import DataError
from visionzoo.system.atomic import write_text

# Largest number of letters. The ranking of HyTra's largest block has less than a hundredth.
_MOST = 50_000_000
_TUPLE = "tag:yaml.org,2002:python/tuple"


class _Loader(yaml.SafeLoader):
    """Plain YAML, and tuples."""


class _Dumper(yaml.SafeDumper):
    """Plain YAML, with tuples written as in the authors' files."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _construct_tuple(loader: _Loader, node: yaml.Node) -> tuple:
    return tuple(loader.construct_sequence(node, deep=True))  # type: ignore[arg-type]


_Loader.add_constructor(_TUPLE, _construct_tuple)
_Dumper.add_representer(tuple, lambda dumper, data: dumper.represent_sequence(_TUPLE, data))


def write_ranking(file: Path, scores: Mapping[paths.Path, float]) -> None:
    """Write (path, score) pairs, best first. The lowest score is the best."""
    ranked = sorted(scores.items(), key=lambda item: item[1])
    _write(file, [(paths.path_name(path), float(score)) for path, score in ranked])


def read_ranking(file: Path) -> dict[str, float]:
    """Read scores by path, in the file's order.

    Raises:
        DataError: the file cannot be read, is not a list of (path, score), or contains a path twice.
    """
    pairs = _read(file)
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        raise DataError(
            file, expected="a list of (path, score)", found="something else", advice="give a path_rank file"
        )
    ranking = {str(path): float(score) for path, score in pairs}
    if len(ranking) != len(pairs):
        raise DataError(
            file, expected="every path once", found=f"{len(pairs) - len(ranking)} twice", advice="write the file again"
        )
    return ranking


def write_best_paths(file: Path, best_paths: Sequence[Sequence[int]]) -> None:
    """Write the best path of each finished block, in the order of the blocks."""
    _write(file, [list(path) for path in best_paths])


def read_best_paths(file: Path) -> list[paths.Path]:
    """Read the best path of each finished block, in the order of the blocks.

    Raises:
        DataError: the file cannot be read, or is not a list of lists of op ids.
    """
    best_paths = _read(file)
    is_paths = isinstance(best_paths, list) and all(
        isinstance(path, (list, tuple)) and path and all(map(_is_op, path)) for path in best_paths
    )
    if not is_paths:
        raise DataError(
            file,
            expected="a list of paths, each a list of op ids",
            found="something else",
            advice="give a bestpath file"
        )  # fmt: skip
    return [tuple(path) for path in best_paths]


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, (list, tuple)) and len(pair) == 2 and _is_path_name(pair[0]) and _is_score(pair[1])


def _is_path_name(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdecimal()


def _is_score(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _is_op(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _write(file: Path, data: Any) -> None:
    write_text(file, yaml.dump(data, Dumper=_Dumper, default_flow_style=False))


def _read(file: Path) -> Any:
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
        if len(text) > _MOST:
            raise DataError(file, expected="a file of paths", found=f"{len(text)} letters", advice="check the path")
        return yaml.load(text, Loader=_Loader)  # a SafeLoader with tuples
    except OSError as error:
        raise DataError(file, expected="a readable file", found=f"{error.strerror}", advice="check the path") from error
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            file, expected="plain YAML with tuples", found=f"{reason}", advice="give a file of a search"
        ) from error
