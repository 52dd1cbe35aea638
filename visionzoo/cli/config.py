"""``visionzoo config show | diff | check``: print, compare and check configs without running them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from visionzoo.cli.common import Parser, add_config_flags, note, run_verb
from visionzoo.cli.short_options import add_short_options, load_with_short_options
from visionzoo.errors import ConfigError, counted

_USAGE = """usage: visionzoo config VERB ...

verbs:
  show   print a merged config and the file that set each value
  diff   compare two configs
  check  check configs against the classes they name

`visionzoo config VERB --help` lists the options. Two examples:
  visionzoo config show rcnet_retinanet --tiny --origin
  visionzoo config check configs/*.py"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``config show``, the main verb."""
    return _show_parser()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Return 0 on success, 1 if a check found problems, 2 for wrong use."""
    return run_verb("config", "verb", _VERBS, _USAGE, argv)


def _show_parser() -> Parser:
    parser = Parser(
        "config show",
        "Print a complete config: bases merged, --tiny and --cfg-options applied.",
        "  visionzoo config show rcnet_retinanet\n"
        "  visionzoo config show rcnet_retinanet --tiny --origin --cfg-options optim_wrapper.optimizer.lr=0.02",
    )
    parser.add_argument("config", help="a released config's name, or a file")
    add_short_options(parser)
    add_config_flags(parser)
    parser.add_argument(
        "--origin", action="store_true", help="end each line with the source of its value (default: off)"
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of Python (default: off)")
    return parser


def _show(args: argparse.Namespace) -> int:
    from visionzoo.config import config_text, load_config

    changes = dict(tiny=args.tiny, allow_new=args.allow_new)
    loaded = load_with_short_options(args, lambda options: load_config(args.config, options=options, **changes))
    for line in [*loaded.schedule_notes, *loaded.notes]:
        note(line)
    if args.json:
        values = loaded.cfg.to_dict()
        print(json.dumps({"config": values, "origins": loaded.origins} if args.origin else values, indent=2))
    else:
        print(config_text(loaded.cfg, loaded.origins if args.origin else None), end="")
    return 0


def _diff_parser() -> Parser:
    parser = Parser(
        "config diff",
        "Compare two merged configs: - only in A, + only in B, ~ changed from A to B.",
        "  visionzoo config diff fpn_retinanet rcnet_retinanet\n"
        "  visionzoo config diff rcnet_retinanet work_dirs/rcnet_retinanet/config.py --tiny",
    )
    parser.add_argument("first", metavar="A", help="a released config's name, or a file")
    parser.add_argument("second", metavar="B", help="the config to compare it with")
    parser.add_argument("--tiny", action="store_true", help="apply the tiny variant where a config has one")
    parser.add_argument("--json", action="store_true", help="JSON instead of lines (default: off)")
    return parser


def _diff(args: argparse.Namespace) -> int:
    from visionzoo.config import diff_configs, has_tiny, load_config

    first, second = (load_config(name, tiny=args.tiny and has_tiny(name)) for name in (args.first, args.second))
    difference = diff_configs(first.cfg, second.cfg)
    if args.json:
        print(json.dumps(vars(difference), indent=2))
    else:
        print("\n".join(difference.lines() or [f"{first.source} and {second.source} are equal"]))
    return 0


def _check_parser() -> Parser:
    parser = Parser(
        "config check",
        "Check types, arguments and keys of configs without building anything. Tiny variants are checked too.",
        "  visionzoo config check\n  visionzoo config check configs/rcnet_retinanet.py my_config.py",
    )
    parser.add_argument("configs", nargs="*", metavar="CONFIG", help="names or files (default: all released configs)")
    parser.add_argument("--json", action="store_true", help="JSON instead of lines (default: off)")
    return parser


def _check(args: argparse.Namespace) -> int:
    from visionzoo.config import config_names, find_config

    names = args.configs or config_names()
    for name in names:
        find_config(name)  # an unknown name is wrong use, not a config with problems
    problems = {name: _problems_of(name) for name in names}
    if args.json:
        print(json.dumps(problems, indent=2))
    else:
        for name, lines in problems.items():
            print(f"{name}: {counted(len(lines), 'problem') if lines else 'ok'}")
            print("".join(f"  - {line}\n" for line in lines), end="")
    return 1 if any(problems.values()) else 0


def _problems_of(name: str) -> list[str]:
    """Return the problems of a config and of its tiny variant, each once."""
    from visionzoo.config import check_config, has_tiny, load_config

    try:
        variants = [load_config(name), *([load_config(name, tiny=True)] if has_tiny(name) else [])]
    except ConfigError as error:
        return [str(error)]
    return list(dict.fromkeys(line for loaded in variants for line in check_config(loaded)))


_VERBS = {"show": (_show_parser, _show), "diff": (_diff_parser, _diff), "check": (_check_parser, _check)}
