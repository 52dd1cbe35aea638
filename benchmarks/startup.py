"""Start-up: CPU seconds of the commands that must respond immediately, compared with `import torch` in one run.

    python benchmarks/startup.py --rounds 5

Times are CPU time of a new interpreter (user + system, including its children), medians of the rounds. The candidates
run in turns. Accept: every row at least 8 times as fast as `import torch`, and at most 0.3 s.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from statistics import median

COMMANDS = {
    "import torch (reference)": ["-c", "import torch"],
    "import visionzoo": ["-c", "import visionzoo"],
    "visionzoo --version": ["-m", "visionzoo", "--version"],
    "visionzoo --help": ["-m", "visionzoo", "--help"],
    "visionzoo train --help": ["-m", "visionzoo", "train", "--help"],
    "visionzoo list": ["-m", "visionzoo", "list"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median counts (default: 5)")
    times = measure(parser.parse_args().rounds)
    reference = median(times["import torch (reference)"])
    print(f"{'command':<28} {'CPU s':>7} {'ratio':>7}")
    for name, seconds in times.items():
        print(f"{name:<28} {median(seconds):7.3f} {reference / median(seconds):7.1f}")
    ours = [median(seconds) for name, seconds in times.items() if "reference" not in name]
    accepted = all(seconds <= 0.3 and reference / seconds >= 8 for seconds in ours)
    print("accepted" if accepted else "NOT accepted: a row is slower than 0.3 s or than 1/8 of the reference")
    return 0 if accepted else 1


def measure(rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for warm in (False, *[True] * rounds):  # the first round only fills the file cache and is not counted
        for name, arguments in COMMANDS.items():
            seconds = cpu_seconds([sys.executable, *arguments])
            if warm:
                times[name].append(seconds)
    return times


def cpu_seconds(command: list[str]) -> float:
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


if __name__ == "__main__":
    raise SystemExit(main())
