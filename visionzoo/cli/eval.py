"""``visionzoo eval KIND --gt G --pred P``: an official metric on files of predictions, without a model."""

from __future__ import annotations

import argparse
import inspect
import json
import math
import types
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from visionzoo.cli.common import Parser, add_summary_flags, note, readers_on_stderr, run_verb
from visionzoo.metrics.files import FileKind, Measured, kind_names, kind_of
from visionzoo.metrics.files._kind import about
from visionzoo.system.paths import shown_path


def _usage() -> str:
    rows = "\n".join(f"  {name:<15} {about(name)}" for name in kind_names())
    return f"""usage: visionzoo eval KIND --gt TRUTH --pred PREDICTION ...

kinds:
{rows}

`visionzoo eval KIND --help` states the files and lists the options. Two examples:
  visionzoo eval panoptic --gt annotations/panoptic_val2017.json --pred panoptic.json
  visionzoo eval saliency --gt DUTS-TE/masks --pred maps --out scores"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 2 for wrong use or files with errors, 130 if interrupted."""
    return run_verb("eval", "kind of files", _KINDS, _usage(), argv)


def parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of one kind. Its options are the keyword-only arguments of the kind's function."""
    kind = kind_of(name)
    examples = "\n".join(f"  visionzoo eval {name} {words}" for words in kind.examples)
    made = Parser(f"eval {name}", about(name), examples)
    made.add_argument("--gt", type=Path, required=True, help=kind.truth)
    made.add_argument("--pred", type=Path, required=True, help=kind.prediction)
    for option, (hint, default) in _options(kind).items():
        made.add_argument(f"--{option.replace('_', '-')}", **_argument(hint, default, kind.options[option]))
    made.add_argument("-o", "--out", type=Path, help="folder for metrics.json and report.md (default: none is written)")
    made.add_argument(
        "--overwrite", action="store_true", help="write into a folder that is not empty (default: use OUT-2)"
    )
    add_summary_flags(made)
    return made


def _options(kind: FileKind) -> dict[str, tuple[Any, Any]]:
    """Return annotation and default of each keyword-only argument."""
    hints = get_type_hints(kind.measure)
    arguments = inspect.signature(kind.measure).parameters.values()
    return {
        each.name: (hints[each.name], each.default) for each in arguments if each.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _argument(hint: Any, default: Any, text: str) -> dict[str, Any]:
    """Return the settings of an option for argparse."""
    if hint is bool:
        return {"action": "store_true", "help": f"{text} (default: off)"}
    shown = f"{text} (default: {default})" if default not in (None, (), "") and "(default" not in text else text
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint), "default": default, "help": shown}
    if isinstance(default, tuple):
        (hint,) = get_args(hint)
        return {"type": hint, "nargs": "+", "default": default, "help": shown}
    return {"type": _number(hint) if hint in (int, float) else hint, "default": default, "help": shown}


def _number(kind: type) -> Callable[[str], Any]:
    """Return a function that reads a finite number >= 0 of one type."""

    def read(text: str) -> Any:
        number = kind(text)
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(text)
        return number

    read.__name__ = "number >= 0" if kind is float else "whole number >= 0"
    return read


def _eval(name: str, args: argparse.Namespace) -> int:
    kind = kind_of(name)
    with readers_on_stderr(quiet=args.quiet):
        measured = kind.measure(args.gt, args.pred, **{option: getattr(args, option) for option in _options(kind)})
    facts = {"name": f"{name} of {args.pred}", "truth": str(args.gt), "prediction": str(args.pred)}
    if measured.protocol:
        facts["protocol"] = measured.protocol
    folder = _written(args.out, facts, measured, overwrite=args.overwrite) if args.out else None
    _print(measured, facts, as_json=args.json)
    for text in measured.notes:
        note(f"note: {text}", quiet=args.quiet)
    if folder is not None:
        note(f"written to {shown_path(folder)}/metrics.json and report.md", quiet=args.quiet)
    return 0


def _written(wanted: Path, facts: Mapping[str, Any], measured: Measured, *, overwrite: bool) -> Path:
    """Write the numbers, and return the folder."""
    from visionzoo.cli.common import choose_output_dir
    from visionzoo.engine.measures import write_measures

    folder = choose_output_dir(wanted, overwrite=overwrite)
    write_measures(folder, {**facts, "file_notes": list(measured.notes)}, measured.numbers, measured.tables)
    return folder


def _print(measured: Measured, facts: Mapping[str, Any], *, as_json: bool) -> None:
    from visionzoo.engine.measures import as_text

    if as_json:
        finite = {name: value if math.isfinite(value) else None for name, value in measured.numbers.items()}
        print(json.dumps({**facts, "metrics": finite, "notes": list(measured.notes)}))
        return
    tables = {name: [row for row in rows if _has_number(row)] for name, rows in measured.tables.items()}
    print(as_text(measured.numbers, tables))


def _has_number(row: Mapping[str, Any]) -> bool:
    """Return False for a class that does not occur: all of its numbers are nan or -1."""
    values = [value for value in row.values() if isinstance(value, float)]
    return not values or any(value >= 0 for value in values)


_KINDS = {name: (partial(parser, name), partial(_eval, name)) for name in kind_names()}
