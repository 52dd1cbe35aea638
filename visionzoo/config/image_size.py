"""``--image-size``: one option for the size of the images in all pipelines of a config.

A config declares the usual size of its images and the paths of the values that belong to it::

    image_size = dict(size=(800, 1333), paths=["train_dataloader.dataset.pipeline.2.scale", ...])

``size`` is (H, W). Every value at a path is scaled by the same factors in its own form: (W, H) if its name is ``scale``
or ``scales``, else (H, W), a list of such pairs, or one side of a square. ``*`` in a path is every index of a list.
``multiple`` is the number that both sides must be multiples of. A config whose images keep their size states the
reason instead: ``image_size = "..."``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from visionzoo.allowed import Count, Hint, Items, Sides, fits, problem_of, shown
from visionzoo.config.tree import MISSING, KeyPath, join, lookup
from visionzoo.errors import ConfigError

_FLAG = "--image-size"
_MOST = 32_768
_WIDTH_FIRST = ("scale", "scales")
_KEYS: dict[str, Hint] = {"size": Sides, "paths": Annotated[Sequence[str], Items()], "multiple": Count}
_OPTIONAL = ("multiple",)
_OPTIONS = (("image_size",), ("image_size", "size"))
_PLAIN: Hint = Sides | str | None  # configs of mmdet have a variable image_size = (640, 640)


def declared_size_problems(cfg: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield path and message of each problem of the key ``image_size``.

    Example:
        >>> list(declared_size_problems({"image_size": {"size": (0, 8), "paths": ["x"]}}))[0][0]
        'image_size.size'
    """
    declared = cfg.get("image_size")
    if isinstance(declared, Mapping):
        for key, hint in _KEYS.items():
            if key not in declared and key not in _OPTIONAL:
                yield "image_size", f'needs the key "{key}"; add it'
            elif problem := problem_of(declared[key], hint) if key in declared else "":
                yield join("image_size", key), problem
    elif not fits(declared, _PLAIN) or declared == "":
        form = "dict(size=(H, W), paths=[...]) or the reason why the size is fixed"
        yield "image_size", f"expected {form}, found {shown(declared)}"


def with_image_size(options: Mapping[KeyPath, Any], cfg: Mapping[str, Any]) -> tuple[dict[KeyPath, Any], list[str]]:
    """Return options in which a new size of the images sets all values that belong to it, as ``--image-size`` does.

    Args:
        options: from path to value; ``image_size`` or ``image_size.size`` is N, (H, W) or text of it. Other options
            for the same values win.
        cfg: the values of the config before the options.

    Returns:
        The options, and a note if tests and inference keep the size of their images.

    Raises:
        ConfigError: see :func:`image_size_settings`.

    Example:
        >>> cfg = {"image_size": {"size": (8, 9), "paths": ["a.scale"]}, "a": {"scale": (9, 8)}}
        >>> with_image_size({("image_size",): (16, 9)}, cfg)[0]
        {('image_size', 'size'): (16, 9), ('a', 'scale'): (9, 16)}
    """
    declared = cfg.get("image_size")
    given = [path for path in _OPTIONS if not isinstance(options.get(path), Mapping | None)]
    if not given or (isinstance(options[given[0]], str) and not isinstance(declared, Mapping)):
        return dict(options), []
    value = options[given[0]]
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    where = f"option {'.'.join(given[0])}"
    settings = image_size_settings(cfg, text, where)
    others = {path: each for path, each in options.items() if path not in _OPTIONS}
    made = {tuple(dotted.split(".")): each for dotted, each in settings.items()}
    free = {path: each for path, each in made.items() if not any(path[: len(other)] == other for other in others)}
    is_of_tests = any(path[0] == "test_dataloader" for path in made)
    return {**free, **others}, [] if is_of_tests else [f"{where}: images of tests and inference keep their own size"]


def image_size_settings(cfg: Mapping[str, Any], text: str, where: str = _FLAG) -> dict[str, Any]:
    """Return the values that ``--image-size`` sets, by dotted path.

    Args:
        cfg: the values of the loaded config.
        text: ``N`` for the shorter side, with the usual proportions, or ``H,W``. In pixels.
        where: the option, for messages.

    Raises:
        ConfigError: the text is not such a size, the config cannot change the size of its images, or the model needs
            other multiples.

    Example:
        >>> from visionzoo.config import load_config
        >>> settings = image_size_settings(load_config("fpn_retinanet").cfg.to_dict(), "400")
        >>> settings["image_size.size"], settings["train_dataloader.dataset.pipeline.2.scale"]
        ((400, 666), (666, 400))
    """
    declared = cfg.get("image_size")
    if not isinstance(declared, Mapping):
        raise ConfigError(
            where,
            expected="a config that declares image_size",
            but=declared if isinstance(declared, str) else "this one declares none",
            advice="change the steps of its pipelines by --cfg-options",
        )
    usual = tuple(declared["size"])
    wanted = _wanted(text, usual, declared.get("multiple", 1), where)
    options: dict[str, Any] = {"image_size.size": wanted}
    for path in declared["paths"]:
        for found in _existing(cfg, path):
            options[found] = _scaled(found, lookup(cfg, tuple(found.split("."))), usual, wanted, where)
    return options


def size_in_use(cfg: Mapping[str, Any]) -> str:
    """Return the size of the training images of a config as text; "" if it declares none.

    The size is that of the last declared step of the training pipeline, so it is right also if the step was changed
    by hand.

    Example:
        >>> from visionzoo.config import load_config
        >>> size_in_use(load_config("fpn_retinanet").cfg.to_dict())
        'image size 800 x 1333 (height x width)'
    """
    declared = cfg.get("image_size")
    if not isinstance(declared, Mapping):
        return ""
    paths = [path for path in declared["paths"] if path.startswith("train_dataloader.")]
    found = [_sizes(path, lookup(cfg, tuple(path.replace(".*.", ".0.").split(".")))) for path in paths]
    sizes = next(filter(None, reversed(found)), [])
    height, width = (_span([size[axis] for size in sizes]) for axis in (0, 1))
    return f"image size {height} x {width} (height x width)" if sizes else ""


def _sizes(path: str, value: Any) -> list[tuple[int, int]]:
    """Return the sizes (H, W) at a path; none if its value has another form."""
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple)):
        return [size for pair in value for size in _sizes(path, pair)]
    sides = value if isinstance(value, (list, tuple)) else (value, value)
    if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        return []
    return [(sides[1], sides[0]) if _name(path) in _WIDTH_FIRST else (sides[0], sides[1])]


def _span(sides: list[int]) -> str:
    least, most = min(sides, default=0), max(sides, default=0)
    return f"{most}" if least == most else f"{least} to {most}"


def _name(path: str) -> str:
    return [key for key in path.split(".") if not key.isdigit()][-1]


def _existing(cfg: Mapping[str, Any], path: str) -> list[str]:
    """Return the paths of the config that a declared path names; ``*`` is every index of a list."""
    before, star, after = path.partition(".*.")
    items = lookup(cfg, tuple(before.split("."))) if star else ()
    items = items if isinstance(items, (list, tuple)) else ()
    found = [f"{before}.{index}.{after}" for index in range(len(items))] if star else [path]
    missing = [path for path in found if lookup(cfg, tuple(path.split("."))) is MISSING]
    if missing or not found:
        raise ConfigError(
            f"image_size.paths: {path}",
            expected="a value of the config",
            found="none",
            advice="correct the path in the config",
        )
    return found


def _wanted(text: str, usual: tuple[int, ...], multiple: int, where: str) -> tuple[int, int]:
    """Return the wanted (H, W)."""
    numbers = [int(word) for word in re.split(r"\s*[,x]\s*", text.strip()) if word.isascii() and word.isdigit()]
    if not re.fullmatch(r"\d+(\s*[,x]\s*\d+)?", text.strip(), re.ASCII) or not all(1 <= n <= _MOST for n in numbers):
        raise ConfigError(
            where,
            expected=f"N or H,W, pixels from 1 to {_MOST:,}",
            found=repr(text),
            advice=f"write {min(usual)} or {usual[0]},{usual[1]}",
        )
    if len(numbers) == 2:
        height, width = numbers
    else:
        factor = numbers[0] / min(usual)
        # The longer side is derived, so it is rounded to the multiple.
        height, width = (
            numbers[0] if side == min(usual) else max(1, round(side * factor / multiple)) * multiple for side in usual
        )
    if height % multiple or width % multiple:
        fit = [max(1, round(side / multiple)) * multiple for side in (height, width)]
        raise ConfigError(
            where,
            expected=f"multiples of {multiple}",
            found=text,
            advice=f"use {fit[0] if len(numbers) == 1 and usual[0] == usual[1] else f'{fit[0]},{fit[1]}'}",
        )
    return height, width


def _scaled(path: str, value: Any, usual: tuple[int, ...], wanted: tuple[int, int], where: str) -> Any:
    """Return a size in its own form, scaled from the usual size to the wanted one."""
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple)):
        return [_scaled(path, pair, usual, wanted, where) for pair in value]
    if not isinstance(value, (list, tuple)):
        if wanted[0] * usual[1] != wanted[1] * usual[0]:
            raise ConfigError(where, expected="one number, the side of a square", found=f"{wanted[0]},{wanted[1]}")
        return max(1, round(value * wanted[0] / usual[0]))
    order = (1, 0) if _name(path) in _WIDTH_FIRST else (0, 1)
    return tuple(max(1, round(side * wanted[axis] / usual[axis])) for side, axis in zip(value, order, strict=True))
