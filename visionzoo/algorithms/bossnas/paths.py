"""Paths through a block of a supernet: which there are, how they are sampled, and what network they spell.

A path is one op id per layer. In HyTra the ids are: 0 attention and 1 convolution at 1/32 of the image, 2 and 3 the
same at 1/16, 4 convolution at 1/8, 5 convolution at 1/4. Scales count from the coarsest: 0 is 1/32, 3 is 1/4.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch

from visionzoo.errors import ConfigError

Path = tuple[int, ...]

# Scale and kind of every op of HyTra: attention is affordable at the two coarsest scales alone.
HYTRA_OPS = ((0, "attention"), (0, "conv"), (1, "attention"), (1, "conv"), (2, "conv"), (3, "conv"))
HYTRA_LAYERS = 4


def hytra_paths(depth: int, *, restricted: bool = True, layers: int = HYTRA_LAYERS) -> list[Path]:
    """Candidate paths of a HyTra block, in the order of the authors' tables.

    The scale falls by one or stays from layer to layer and never rises.

    Args:
        depth: scales that the block has, 1 to 4.
        restricted: begin at one of the two finest of them, as the search does; at any otherwise.
        layers: ops in a path.

    Raises:
        ConfigError: no such depth.
    """
    if depth not in range(1, 5):
        raise ConfigError(
            "hytra_paths.depth", expected="1 to 4 scales", found=f"{depth}", advice="a block has 4, 3, 2 and 2"
        )
    starts = range(max(0, depth - 2) if restricted else 0, depth)
    return [path for scales in _falling(starts, layers) for path in product(*map(_ops_at, scales))]


def _falling(starts: Sequence[int], layers: int) -> list[tuple[int, ...]]:
    """Sequences of scales, each equal to the one before or one below it, in ascending order."""
    sequences: list[tuple[int, ...]] = [(start,) for start in starts]
    for _ in range(layers - 1):
        sequences = [(*seq, scale) for seq in sequences for scale in (seq[-1] - 1, seq[-1]) if scale >= 0]
    return sorted(sequences)


def _ops_at(scale: int) -> list[int]:
    return [op for op, (at, _) in enumerate(HYTRA_OPS) if at == scale]


def scale_of(op: int) -> int:
    """The scale of a HyTra op.

    Raises:
        ConfigError: there is no such op.
    """
    if op not in range(len(HYTRA_OPS)):
        raise ConfigError(
            "HyTra", expected=f"an op from 0 to {len(HYTRA_OPS) - 1}", found=f"{op!r}", advice="check the path"
        )
    return HYTRA_OPS[op][0]


def every_path(num_ops: int, layers: int) -> list[Path]:
    """All combinations of ops, for spaces whose layers choose freely."""
    return list(product(range(num_ops), repeat=layers))


def distinct_paths(candidates: Sequence[Path], count: int, draw: torch.Generator) -> list[Path]:
    """``count`` different ones of the candidates (all, if there are no more), each as likely as the others."""
    order = torch.randperm(len(candidates), generator=draw)[:count]
    return [candidates[int(i)] for i in order]


def fair_paths(num_ops: int, layers: int, draw: torch.Generator) -> list[Path]:
    """One path per op, so that in every layer each op is in exactly one of them."""
    orders = [torch.randperm(num_ops, generator=draw).tolist() for _ in range(layers)]
    return list(zip(*orders))


def encoding_from_best_paths(best_paths: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """The encoding of a :class:`BossNet` that the best paths of HyTra's blocks spell.

    Layers are grouped by scale, the finest first: 1/4 is stage 1, 1/32 stage 4. A stage that no layer visits is
    empty, which in BossNet is one convolution of stride 2.

    >>> encoding_from_best_paths([(5, 4, 3, 3), (3, 2, 3, 0)])
    ((1,), (1,), (1, 1, 1, 0, 1), (0,))

    Raises:
        ConfigError: an unknown op, or a scale that rises again.
    """
    ops = [op for path in best_paths for op in path]
    scales = [scale_of(op) for op in ops]
    if not ops or scales != sorted(scales, reverse=True):
        raise ConfigError(
            "best paths",
            expected="scales that fall from path to path",
            found=f"{[list(path) for path in best_paths]}",
            advice="give the paths of all blocks, the first block's first",
        )
    stages = {scale: [int(HYTRA_OPS[op][1] == "conv") for op in ops if scale_of(op) == scale] for scale in range(4)}
    return tuple(tuple(stages[scale]) for scale in (3, 2, 1, 0))


def path_name(path: Sequence[int]) -> str:
    """A path as the files write it: its digits."""
    return "".join(map(str, path))
