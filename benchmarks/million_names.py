"""Memory of inference over a folder of a million files: the curve of a whole run and of one that was killed.

    python benchmarks/million_names.py --figure docs/images/million_names.png
    python benchmarks/million_names.py --count 20000 --limit 15

`visionzoo infer` runs as usual: it lists and sorts the names, gives the names of the result files, and writes a line
and an entry of the journal for each input. Only reading and the model are left out: each input gets the result of the
first one. The files are empty, so that a million of them need little space.

`whole` is a run over all names, `killed` the first 60 % of one, and `resumed` the run that continues it. The memory
(RssAnon) is noted at the start of the stream, when the model is loaded, and after each hundredth of the inputs. `names`
is a process that only holds the sorted paths in a list. Accept: no run grows by more than `--limit` MB from its start
to its end, and `resumed` ends with the bytes of `whole`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

MODEL = "bossnet_t0_imagenet"
KILLED = 0.6
MB = 1 << 20


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000, help="number of files (default: 1000000)")
    parser.add_argument("--limit", type=float, default=30.0, help="largest growth in MB (default: 30)")
    parser.add_argument("--folder", type=Path, help="folder for temporary files (default: that of the system)")
    parser.add_argument("--figure", type=Path, help="write the curves as a PNG file (default: no figure)")
    parser.add_argument("--curves", type=Path, help="write the curves as JSON (default: no file)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        curves = measured(Path(folder), args.count)
        same = [(Path(folder, out) / "predictions.jsonl").read_bytes() for out in ("whole", "killed")]
    for name, curve in curves.items():
        print(f"{name:>8}: {curve[0][2]:6.1f} MB at the start, {max(row[2] for row in curve):6.1f} MB at most, "
              f"{curve[-1][2]:6.1f} MB after {curve[-1][1]} names, {curve[-1][0]:.0f} s")  # fmt: skip
    if args.curves:
        args.curves.write_text(json.dumps(curves))
    if args.figure:
        draw(curves, args.figure)
    growth = max(max(row[2] for row in curve) - curve[0][2] for name, curve in curves.items() if name != "names")
    print(f"growth {growth:.1f} MB, limit {args.limit} MB; the resumed run has the same bytes: {same[0] == same[1]}")
    return 0 if growth <= args.limit and same[0] == same[1] else 1


def measured(folder: Path, count: int) -> dict[str, list[list[float]]]:
    """Return the curves of all processes: rows of seconds, names so far and MB."""
    started = time.perf_counter()
    make_files(folder / "in", count)
    print(f"{count} files made in {time.perf_counter() - started:.0f} s", flush=True)
    last = int(KILLED * count)
    outs = {
        "whole": ("whole", 0),
        "killed": ("killed", last),
        "resumed": ("killed", 0),
        "names": ("", 0),
    }
    curves = {}
    for name, (out, stop) in outs.items():
        line = [sys.executable, __file__, "--child", name, str(folder), out, str(stop), str(count)]
        subprocess.run(line, check=name != "killed", stdout=subprocess.DEVNULL)
        rows = [json.loads(row) for row in (folder / f"{name}.rows").read_text().splitlines()]
        before = last - 1 if name == "resumed" else 0
        curves[name] = [[seconds, number + before, megabytes] for seconds, number, megabytes in rows]
    return curves


def make_files(folder: Path, count: int) -> None:
    """Make empty files, whose names are not in the order of their making."""
    folder.mkdir()
    for number in range(count):
        os.close(os.open(folder / f"{number * 7919 % count:09}.jpg", os.O_CREAT | os.O_WRONLY))


def child(name: str, folder: Path, out: str, stop: int, count: int) -> int:
    """Run one process, and write a row after each hundredth of the names."""
    rows = open(folder / f"{name}.rows", "w", buffering=1)  # noqa: SIM115 - the process ends with it
    started = time.perf_counter()

    def note(number: int) -> None:
        rows.write(json.dumps([round(time.perf_counter() - started, 2), number, round(resident() / MB, 2)]) + "\n")

    if name == "names":
        note(0)
        paths = sorted((folder / "in").iterdir())
        note(len(paths))
        return 0
    from visionzoo.cli.infer import main as infer
    from visionzoo.inference.inferencer import Inferencer

    def predictions(self: Any, sources: Any, **_: Any) -> Iterator[Any]:
        first = one(self, next(sources))
        yield first
        note(0)
        for number, source in enumerate(sources, start=2):
            if number == stop:
                os._exit(1)
            yield replace(first, source=source)
            if number % (count // 100) == 0:
                note(number)
        note(number)

    def one(self: Inferencer, source: Any) -> Any:
        import numpy as np

        (found,) = before(self, [np.full((64, 64, 3), 128, np.uint8)])
        return replace(found, source=source)

    before = Inferencer.__call__
    Inferencer.__call__ = predictions  # type: ignore[method-assign]
    args = [MODEL, str(folder / "in"), "--tiny", "--weights", "none", "--device", "cpu", "--vis", "none"]
    return infer([*args, "-o", str(folder / out), *(["--resume"] if name == "resumed" else [])])


def resident() -> int:
    """Return the resident memory in bytes (Linux), without pages of files, which the system may drop at any time."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def draw(curves: dict[str, list[list[float]]], path: Path) -> None:
    """Draw the growth of the memory over the names as a PNG file."""
    from PIL import Image

    from visionzoo.reports.plots import Plot, Series, draw_plot
    from visionzoo.reports.ticks import Axis

    series = [
        Series(name, [row[1] / 1000 for row in rows], [row[2] - rows[0][2] for row in rows], "line")
        for name, rows in curves.items()
    ]
    highest = max(max(each.y) for each in series)
    plot = Plot(
        "Memory of inference over a folder of files",
        "names, thousands",
        "growth of the memory, MB",
        series,
        up=Axis(min(0.0, *(min(each.y) for each in series)), 1.05 * highest),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_plot(plot)).save(path)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        name, folder, out, *numbers = sys.argv[2:]
        sys.exit(child(name, Path(folder), out, *map(int, numbers)))
    sys.exit(main())
