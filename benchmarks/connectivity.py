"""Voting on connectivity by slices against the released translation matrices: CPU time, memory and equality.

    python benchmarks/connectivity.py                      # (8, 8, 320, 320), a minute
    python benchmarks/connectivity.py --sizes 64 320 640   # other sides

The reference multiplies every channel with H x H and W x W matrices that shift by one pixel, as the code of BiconNets
does; they are made before the clock starts. Both run in one process, one thread, in turns, after their votes were
found equal to the last bit. Times are CPU time, medians of the rounds. Slices hold no table: the same function is
called with every size, one after the other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch
from timing import peak_memory, time_in_turns
from torch import Tensor

from visionzoo.heads.connnet.connectivity import offsets_of, pair_votes

BATCH, ACCEPT = 8, 1.5


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table; 1 when the ratio is missed at side 320, 2 when results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each candidate, at least 5 (default: 7)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[320], help="sides of the maps (default: 320)")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"batch {BATCH}, 8 neighbours, one thread")
    print(row("side", "candidate", "median ms", "ratio", "accept", "peak MiB"))
    return max(compare(side, args.rounds) for side in args.sizes)


@torch.no_grad()
def compare(side: int, rounds: int) -> int:
    """Two rows of the table; 0 when all is well."""
    prob = torch.rand(BATCH, 8, side, side)
    rows, columns = shift_matrix(side), shift_matrix(side)
    runs = {"matrices": lambda: votes_by_matrices(prob, rows, columns), "slices": lambda: pair_votes(prob)}
    if not torch.equal(runs["matrices"](), runs["slices"]()):
        print(f"{side}: results differ; nothing was timed", file=sys.stderr)
        return 2
    times = time_in_turns(runs, rounds)
    for name, seconds in times.items():
        peak, ratio = peak_memory(runs[name]), times["matrices"] / seconds
        shown = "n/a" if peak is None else f"{peak / 2**20:.1f}"
        print(row(side, name, f"{1e3 * seconds:.1f}", f"{ratio:.1f}", ACCEPT if name == "slices" else "", shown))
    return int(side == 320 and times["matrices"] / times["slices"] < ACCEPT)


def row(*cells: object) -> str:
    """One line of the table."""
    widths = ("<7", "<11", ">10", ">7", ">8", ">10")
    return "".join(f"{cell!s:{width}}" for cell, width in zip(cells, widths, strict=True))


def shift_matrix(side: int) -> Tensor:
    """(side, side) with ones above the diagonal: x @ it moves columns one to the right."""
    return torch.diag(torch.ones(side - 1), 1)


def votes_by_matrices(prob: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Products of every pair, the partner moved by up to two matrix products."""
    votes = []
    for channel, (dy, dx) in enumerate(offsets_of(8)):
        partner = prob[:, 7 - channel]
        if dx:
            partner = partner @ (columns if dx < 0 else columns.T)
        if dy:
            partner = (rows.T if dy < 0 else rows) @ partner
        votes.append(prob[:, channel] * partner)
    return torch.stack(votes, 1)


if __name__ == "__main__":
    sys.exit(main())
