"""Votes on connectivity: slices against the released translation matrices, compared in CPU time, memory and results.

    python benchmarks/connectivity.py                      # (8, 8, 320, 320), a minute
    python benchmarks/connectivity.py --sizes 64 320 640   # other sides

The reference multiplies every channel with H x H and W x W matrices that shift by one pixel, as in the code of
BiconNets. The matrices are created before the timing starts. The votes of both are first checked to be equal to the
last bit. Then both run in turns in one process on one thread. Times are CPU time, medians of the rounds. Slices need no
table, so one function handles all sizes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch
from timing import Row, mebibytes, peak_memory, record, time_in_turns
from torch import Tensor

from visionzoo.heads.connnet.connectivity import offsets_of, pair_votes

BATCH, ACCEPT = 8, 1.5


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table. Return 1 if the ratio at side 320 is too low, 2 if results differ."""
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
    """Print two rows of the table. Return 0 on success."""
    prob = torch.rand(BATCH, 8, side, side)
    rows, columns = shift_matrix(side), shift_matrix(side)
    runs = {"matrices": lambda: votes_by_matrices(prob, rows, columns), "slices": lambda: pair_votes(prob)}
    if not torch.equal(runs["matrices"](), runs["slices"]()):
        print(f"{side}: results differ; nothing was timed", file=sys.stderr)
        return 2
    times = time_in_turns(runs, rounds)
    for name, seconds in times.items():
        shown, ratio = mebibytes(peak_memory(runs[name])), times["matrices"] / seconds
        print(row(side, name, f"{1e3 * seconds:.1f}", f"{ratio:.1f}", ACCEPT if name == "slices" else "", shown))
    what, goal = f"votes on connectivity, ({BATCH}, 8, {side}, {side})", 1 / ACCEPT if side == 320 else None
    return record(Row(what, "BiconNet's matrices", times["slices"], times["matrices"], "bit for bit", goal))


def row(*cells: object) -> str:
    """Format one line of the table."""
    widths = ("<7", "<11", ">10", ">7", ">8", ">10")
    return "".join(f"{cell!s:{width}}" for cell, width in zip(cells, widths, strict=True))


def shift_matrix(side: int) -> Tensor:
    """Return a matrix, (side, side), with ones above the diagonal. ``x @ matrix`` moves columns one to the right."""
    return torch.diag(torch.ones(side - 1), 1)


def votes_by_matrices(prob: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Multiply every pair of channels. At most two matrix products shift the partner."""
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
