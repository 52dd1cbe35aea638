"""Names of models on the command line: patterns, lists of names in a file, and models of timm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from visionzoo import zoo
from visionzoo.errors import InputError, UnknownName
from visionzoo.system.text_files import read_text

_WILD = frozenset("*?[")


@dataclass(frozen=True)
class Named:
    """A model with its weights.

    Attributes:
        name: a model of the zoo, a config, the folder of a run, or ``timm.NAME``.
        weights: a file, the folder of a run, ``none``, or None for the usual ones.
    """

    name: str
    weights: str | None = None


def shown_name(name: str, run: Path | None) -> str:
    """Return the name of a model in tables; runs of one config differ by the names of their folders.

    Example:
        >>> shown_name("scnn_culane", None), shown_name("scnn_culane", Path("work_dirs/wide"))
        ('scnn_culane', 'scnn_culane (wide)')
    """
    return name if run is None or run.name == name else f"{name} ({run.name})"


def expanded(words: Sequence[str], weights: str | None, tasks: Sequence[str], libraries: Sequence[str]) -> list[Named]:
    """Return the models that words name, each of them once.

    Args:
        words: names, patterns (``timm.resnet*``, ``dinat_*``) and ``@FILE``. A line of a file is a word, and optional
            weights after white space; empty lines and lines that begin with ``#`` are left out.
        weights: weights of models whose line has none.
        tasks: tasks of the models of the zoo that a pattern matches.
        libraries: libraries with models, ``timm``.

    Raises:
        InputError: a pattern matches no model, or a file cannot be read.
        UnknownName: the library has no model of this name.

    Example:
        >>> expanded(["dinat_m*"], "none", ["classification"], [])
        [Named(name='dinat_mini_imagenet', weights='none')]
    """
    named = [each for word, own in _lines(words) for each in _of_word(word, own or weights, tasks, libraries)]
    return list(dict.fromkeys(named))


def _lines(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    for word in words:
        if not word.startswith("@"):
            yield word, None
            continue
        path = Path(word[1:]).expanduser()
        if not path.is_file():
            raise InputError(path, expected="a list of models, one a line", found="no such file", advice="correct it")
        for line in read_text(path, "a list of models", "correct it").splitlines():
            parts = line.split(maxsplit=1)
            if parts and not parts[0].startswith("#"):
                yield parts[0], parts[1].strip() if len(parts) > 1 else None


def _of_word(word: str, weights: str | None, tasks: Sequence[str], libraries: Sequence[str]) -> list[Named]:
    library, _, rest = word.partition(".")
    is_pattern = bool(_WILD & set(word))
    if library in libraries:
        names = _of_timm(rest, is_pattern, untrained=weights == "none")
    elif is_pattern:
        names = [name for task in tasks for name in zoo.list_models(task=task) if fnmatchcase(name, word)]
    else:
        names = [word]
    if not names:
        raise InputError(
            f"--models {word}",
            expected=f"a pattern of models of {' or '.join([*tasks, *libraries])}",
            found="no match",
            advice="`visionzoo list` prints the models of the zoo",
        )
    return [Named(name, weights) for name in names]


def _of_timm(name: str, is_pattern: bool, *, untrained: bool) -> list[str]:
    import timm

    if is_pattern:
        return [f"timm.{each}" for each in timm.list_models(name, pretrained=not untrained)]
    if not timm.is_model(name):
        raise UnknownName(name, kind="timm model", known=timm.list_models())
    return [f"timm.{name}"]
