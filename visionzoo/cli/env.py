"""``visionzoo env``: print the facts about a machine that a bug report needs."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from visionzoo.cli.common import Parser, run_command

EXAMPLES = """  visionzoo env
  visionzoo env --json > env.json"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``env``."""
    made = Parser("env", "Print versions, devices, the compiled ops and the cache folder.", EXAMPLES)
    made.add_argument("--json", action="store_true", help="machine-readable result (default: off)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    return run_command(parser(), _env, argv)


def _env(args: argparse.Namespace) -> int:
    facts = collect()
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        print("\n".join(_lines(facts)))
    return 0


def collect() -> dict[str, Any]:
    """Return versions, devices, ops and folders of this machine. Write nothing and use no network."""
    import torch

    from visionzoo.ops.mmcv_ext import describe
    from visionzoo.system.versions import git_describe, versions

    return {
        "system": f"{platform.platform()}, {os.cpu_count()} processors",
        "versions": versions(),
        "git": git_describe(),
        "devices": devices(torch),
        "threads": torch.get_num_threads(),
        "mmcv ops": summary(describe()),
        "cache": str(Path(os.environ.get("VISIONZOO_CACHE") or Path.home() / ".cache" / "visionzoo")),
    }


def summary(ops: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the names of ops by their implementation, and only the number of missing ops.

    A missing op raises an error when it is called.

    Example:
        >>> summary([("nms", "torch"), ("roi_align", "torch"), ("knn", "missing")])
        {'torch': ['nms', 'roi_align'], 'missing': 1}
    """
    by_server: dict[str, Any] = {}
    for name, server in ops:
        by_server.setdefault(server, []).append(name)
    if "missing" in by_server:
        by_server["missing"] = len(by_server["missing"])
    return by_server


def devices(torch: Any) -> list[str]:
    """Return the devices of this machine that ``--device`` accepts."""
    usable = ["cpu"]
    if torch.backends.mps.is_available():
        usable.append("mps")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        usable += [f"cuda:{index} ({name})" for index, name in enumerate(names)]
    return usable


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    width = max((len(str(key)) for key in facts), default=0)
    for key, value in facts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            lines.append(f"{indent}{key!s:<{width}}  {shown}")
    return lines
