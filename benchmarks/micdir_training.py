"""Peak memory and time of one training step of MSCGUNet against the literal formulation, side by side.

    python benchmarks/micdir_training.py               # 128x128x128, batch 1, two minutes, 8 GiB
    python benchmarks/micdir_training.py --size 64     # smaller volumes

The reference trains as the released code does: both directions are separate passes of the network, and the graphs of
both stay in memory; the integration, the warp and the correlation are those of PyTorch's functions with an identity
grid in voxels. Ours encodes both directions as one batch, and optionally recomputes activations in the backward pass
(``with_cp``). All have the same weights and losses, in ``compat`` mode. Losses are first checked to be equal on small
volumes in evaluation mode. Each candidate runs in a new process on one thread; memory is the increase to its peak
(Linux only), with the gradients of all parameters. Times are CPU time.

Measured on 2026-11-28 (one core of a shared x86-64 machine, torch 2.15): 128x128x128, peak MiB and CPU s: reference
4215 and 59, ours 4518 and 60, with ``with_cp`` 2958 and 76. The time of both directions in one batch is the same, and
its convolutions have larger buffers. With ``with_cp`` the rows of a batch run one after the other.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

import torch
from registration_ops import literal_warp
from timing import Row, peak_memory, record
from torch import Tensor, nn
from torch.nn import functional as F

import visionzoo  # noqa: F401
from visionzoo.backbones.micdir import MICDIREncoder
from visionzoo.heads.micdir.head import MICDIRHead
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample

GOAL = 1.1
CANDIDATES = ("reference", "ours", "ours, with_cp")


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table. Return 2 if losses differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side of the volumes, a multiple of 32 (default: 128)")
    parser.add_argument("--candidate", choices=CANDIDATES, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    if args.candidate:
        print(measure(args.candidate, args.size), flush=True)
        return 0
    losses = [loss_of(name, pair_of(32), training=False).item() for name in CANDIDATES]
    if max(losses) - min(losses) > 1e-4:
        print(f"losses differ: {losses}; nothing was measured", file=sys.stderr)
        return 2
    print(f"MSCGUNet, {args.size}x{args.size}x{args.size}, batch 1, both directions, one thread, float32")
    print(f"{'candidate':<16}{'peak MiB':>10}{'share':>8}{'CPU s':>9}")
    first, times = None, dict[str, float]()
    for name in CANDIDATES:
        line = [sys.executable, __file__, "--size", str(args.size), "--candidate", name]
        peak, seconds = map(float, subprocess.run(line, check=True, capture_output=True, text=True).stdout.split())
        first, times = first or peak, {**times, name: seconds}
        print(f"{name:<16}{peak / 2**20:10.0f}{peak / first:8.2f}{seconds:9.1f}", flush=True)
    what = f"a training step of MSCGUNet, {args.size}x{args.size}x{args.size}"
    return record(Row(what, "the released form", times["ours"], times["reference"], "losses 1e-4", GOAL))


def measure(name: str, size: int) -> str:
    """Return the peak in bytes and the CPU seconds of one step."""
    loss_of(name, pair_of(32), training=True).backward()  # allocates what a process needs only once
    pair = pair_of(size)
    start = time.process_time()
    peak = peak_memory(lambda: loss_of(name, pair, training=True).backward())
    return f"{peak or 0} {time.process_time() - start}"


def pair_of(size: int) -> Tensor:
    """Draw a related pair, (1, 2, size, size, size)."""
    torch.manual_seed(1)
    coarse = torch.rand(1, 3, *[size // 8] * 3)
    fixed, *others = F.interpolate(coarse, size=(size,) * 3, mode="trilinear", align_corners=True)[0]
    return torch.stack([fixed, 0.7 * fixed + 0.3 * others[0]])[None]


def loss_of(name: str, pair: Tensor, *, training: bool) -> Tensor:
    """Return the total loss of both directions."""
    torch.manual_seed(0)
    ours = name != "reference"
    options = dict(with_cp="cp" in name)
    encoder = MICDIREncoder(both_directions=ours, **options).train(training)
    head = MICDIRHead(encoder.out_channels, compat=True, **options).train(training)
    if not ours:
        return literal_direction(encoder, head, pair) + literal_direction(encoder, head, pair.flip(1))
    batch = Batch(pair, [TaskSample(metainfo=dict(group_size=1))])
    return torch.stack(list(head.loss(encoder(pair, batch), batch).values())).sum()


# --- reference ---


def literal_direction(encoder: nn.Module, head: MICDIRHead, pair: Tensor) -> Tensor:
    """Return the losses of one direction, as the released code adds them."""
    velocities = head.velocities(encoder(pair))
    fixed, moving = pair[:, :1], pair[:, 1:]
    total = velocities.graph_loss
    for velocity, similarity, smooth in ((velocities.full, 1.2, 1.0), (velocities.half, 0.5, 0.5)):
        if velocity.shape[2:] != fixed.shape[2:]:
            fixed, moving = (F.interpolate(image, scale_factor=0.5, mode="trilinear") for image in (fixed, moving))
        field = literal_displacement(velocity)
        warped = literal_warp(moving, field)
        total = total - similarity * literal_correlation(fixed, warped) + smooth * literal_smoothness(field)
    return total


def literal_displacement(velocity: Tensor) -> Tensor:
    options = dict(mode="trilinear", align_corners=True, recompute_scale_factor=True)
    field = 0.5 * F.interpolate(velocity, scale_factor=0.5, **options) / 2**7
    for _ in range(7):
        field = field + literal_warp(field, field)
    return F.interpolate(2 * field, scale_factor=2, **options)


def literal_correlation(fixed: Tensor, moving: Tensor) -> Tensor:
    size = fixed[0].numel()
    first, second = fixed - fixed.mean(), moving - moving.mean()
    cross = torch.sum(first * second + 1e-8 / size)
    return cross / (torch.sqrt(torch.sum(first**2) * torch.sum(second**2)) + 1e-8)


def literal_smoothness(field: Tensor) -> Tensor:
    slopes = (field.diff(dim=axis) for axis in (2, 3, 4))
    return sum((slope * slope).mean() for slope in slopes) / 3


if __name__ == "__main__":
    sys.exit(main())
