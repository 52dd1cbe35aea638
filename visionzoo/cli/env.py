"""``visionzoo env``: what a bug report needs."""

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
    made = Parser("env", "Print versions, devices, which ops are compiled, and the cache folder.", EXAMPLES)
    made.add_argument("--json", action="store_true", help="machine-readable result (default: off)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parser(), _env, argv)


def _env(args: argparse.Namespace) -> int:
    facts = collect()
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        print("\n".join(_lines(facts)))
    return 0


def collect() -> dict[str, Any]:
    """Versions, devices, ops and folders of this machine. Writes nothing, asks no network."""
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
    """Names of ops by what serves them; of the missing ones, which say so when they are called, only how many."""
    by_server: dict[str, Any] = {}
    for name, server in ops:
        by_server.setdefault(server, []).append(name)
    if "missing" in by_server:
        by_server["missing"] = len(by_server["missing"])
    return by_server


def devices(torch: Any) -> list[str]:
    """The devices that ``--device`` takes here."""
    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.append("mps")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        found += [f"cuda:{index} ({name})" for index, name in enumerate(names)]
    return found


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
