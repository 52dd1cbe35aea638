"""Start-up: CPU seconds of the commands that must respond immediately, and of a first inference, in one run.

    python benchmarks/startup.py --rounds 5

Times are CPU time of a new interpreter (user + system, including its children), medians of the rounds. The candidates
run in turns. `ratio` is the time of `import torch` divided by that of the row. Accept: every command but `infer` at
least 8 times as fast as `import torch` and at most 0.3 s; a first inference imports at most half of the modules that
it imported beyond torch's own before imports were deferred.

A first inference is one process that reads one image and writes its result: imports, model, weights, forward pass,
files. Before imports were deferred, the detector took 5.7 s and the classifier 3.6 s, with torch 2.15 on one core of a
shared machine; in turns with these, the deferred form took 2.5 s (0.43) and 2.1 s (0.58), of which `import torch` is
1.8 s. The last column is the number of imported modules before, divided by the number now, each without those of
`import torch`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from PIL import Image
from timing import Row, record

COMMANDS = {
    "import torch (reference)": ["-c", "import torch"],
    "import visionzoo": ["-c", "import visionzoo"],
    "visionzoo --version": ["-m", "visionzoo", "--version"],
    "visionzoo --help": ["-m", "visionzoo", "--help"],
    "visionzoo train --help": ["-m", "visionzoo", "train", "--help"],
    "visionzoo list": ["-m", "visionzoo", "list"],
}
INFERENCES = {
    "infer, detector": ["cells_rcnet_lite"],
    "infer, classifier": ["nat_mini_imagenet", "--tiny", "--weights", "none"],
}
# Modules that these imported before imports were deferred, of which 1201 were those of `import torch`.
MODULES_BEFORE = {"infer, detector": 5226, "infer, classifier": 3244}
REFERENCE = next(iter(COMMANDS))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median counts (default: 5)")
    rounds = parser.parse_args().rounds
    with TemporaryDirectory() as folder:
        commands = COMMANDS | inference_commands(Path(folder))
        times = {name: median(seconds) for name, seconds in measure(commands, rounds).items()}
        modules = {name: imported_modules(command) for name, command in commands.items()}
    print(f"{'command':<28} {'CPU s':>7} {'ratio':>7} {'modules':>8} {'before/now':>11}")
    for name, seconds in times.items():
        fewer = f"{fewer_modules(name, modules):11.1f}" if name in INFERENCES else ""
        print(f"{name:<28} {seconds:7.3f} {times[REFERENCE] / seconds:7.2f} {modules[name]:8d} {fewer}")
    for name in COMMANDS:
        if name != REFERENCE:
            record(Row(f"start of {name}", "import torch", times[name], times[REFERENCE], "no result", 1 / 8))
    accepted = all(seconds <= 0.3 and times[REFERENCE] / seconds >= 8 for seconds in quick(times)) and all(
        fewer_modules(name, modules) >= 2 for name in INFERENCES
    )
    print("accepted" if accepted else "NOT accepted: a row does not meet the conditions above (--help)")
    return 0 if accepted else 1


def quick(times: dict[str, float]) -> list[float]:
    """Return the times of the commands that must respond immediately."""
    return [seconds for name, seconds in times.items() if name in COMMANDS and name != REFERENCE]


def inference_commands(folder: Path) -> dict[str, list[str]]:
    image = folder / "image.png"
    Image.effect_noise((640, 480), 60).convert("RGB").save(image)
    return {
        name: ["-m", "visionzoo", "infer", *words, str(image), "-o", str(folder / words[0]), "--overwrite"]
        for name, words in INFERENCES.items()
    }


def fewer_modules(name: str, modules: dict[str, int]) -> float:
    of_torch = modules[REFERENCE]
    return (MODULES_BEFORE[name] - of_torch) / (modules[name] - of_torch)


def imported_modules(command: list[str]) -> int:
    done = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True)
    return sum(line.startswith("import time:") for line in done.stderr.splitlines()) - 1  # the first line is a header


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in commands}
    for warm in (False, *[True] * rounds):  # the first round only fills the file cache and is not counted
        for name, arguments in commands.items():
            seconds = cpu_seconds([sys.executable, *arguments])
            if warm:
                times[name].append(seconds)
    return times


def cpu_seconds(command: list[str]) -> float:
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


if __name__ == "__main__":
    raise SystemExit(main())
