"""Run a tenth of the fast tests under the settings of a weaker machine, in a shuffled order of files.

Results must not depend on the instructions of the CPU, the number of threads or the order of tests. The hash of the
commit selects the setting and the tenth, so every run of one commit is the same. Over many commits every tenth is run::

    python .ci/weaker_settings.py                       # setting and tenth of the commit
    python .ci/weaker_settings.py --all                 # every setting, all fast tests; hours on two cores
    python .ci/weaker_settings.py --setting avx2 --tenth 3
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = 10
NO_TESTS_COLLECTED = 5  # exit code of pytest

# Kernels of torch (ATEN) and oneDNN, and threads of each test process. The whole suite has passed under each setting.
SETTINGS = {
    "default-sse41": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OMP_NUM_THREADS": "1"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"},
    # oneDNN without AMX: kernels of torch that are built for less than AVX-512 fail in bfloat16 if they find AMX.
    "default-two-threads": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "OMP_NUM_THREADS": "2",
    },
    "avx2-sse41-four-threads": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OMP_NUM_THREADS": "4",
    },
    "onednn-avx2-four-threads": {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "4"},
}


def main() -> int:
    args = parser().parse_args()
    number = commit_number()
    if args.all:
        return max([run(name, test_files(), args.seed) for name in SETTINGS])
    name = args.setting or list(SETTINGS)[number // PARTS % len(SETTINGS)]
    part = number % PARTS if args.tenth is None else args.tenth
    return run(name, test_files()[part::PARTS], args.seed, f"tenth {part} of the files")


def parser() -> argparse.ArgumentParser:
    described = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    described.add_argument("--all", action="store_true", help="every setting, all fast tests")
    described.add_argument("--setting", choices=SETTINGS, help="default: the commit chooses")
    described.add_argument("--tenth", type=int, choices=range(PARTS), help="default: the commit chooses")
    described.add_argument("--seed", type=int, default=None, help="of the order of files (default: the commit)")
    return described


def commit_number() -> int:
    """Return the hash of the commit as a number, or 0 outside a checkout."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return int(done.stdout.strip() or "0", 16)


def test_files() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))


def run(name: str, files: list[str], seed: int | None, which: str = "all files") -> int:
    """Run the fast tests in ``files`` and return the exit code of pytest, or 0 if there are no fast tests."""
    threads = SETTINGS[name]["OMP_NUM_THREADS"]
    # Idle threads sleep: the test processes have more threads than there are cores.
    settings = {**SETTINGS[name], "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
    shuffled = random.Random(commit_number() if seed is None else seed).sample(files, len(files))
    print(f"weaker settings: {name} {settings}, {which}, {len(files)} of them, shuffled", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-m", "not slow", *shuffled]
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, check=False).returncode
    return 0 if code == NO_TESTS_COLLECTED else code


if __name__ == "__main__":
    sys.exit(main())
