"""Paths through a block of a supernet: candidates, sampling, and the network that paths describe.

A path is one op id per layer. HyTra's ids are: 0 attention and 1 convolution at 1/32 of the image, 2 attention and 3
convolution at 1/16, 4 convolution at 1/8, 5 convolution at 1/4. Scales are counted from the coarsest: 0 is 1/32, 3 is
1/4.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch

from visionzoo.errors import ConfigError, DataError

Path = tuple[int, ...]

# Scale and kind of each op of HyTra. Attention is only affordable at the two coarsest scales.
HYTRA_OPS = ((0, "attention"), (0, "conv"), (1, "attention"), (1, "conv"), (2, "conv"), (3, "conv"))
HYTRA_LAYERS = 4
# Number of scales of each block. Only the first block has scale 1/4; all blocks have the scales with attention.
DEPTHS = (4, 3, 2, 2)


def hytra_paths(depth: int, *, restricted: bool = True, layers: int = HYTRA_LAYERS) -> list[Path]:
    """Return the candidate paths of a HyTra block, in the order of the authors' tables.

    From layer to layer, the scale stays or decreases by one.

    Args:
        depth: number of scales of the block, 1 to 4.
        restricted: start only at one of the two finest scales, as the search does. False: start at any scale.
        layers: number of ops in a path.

    Raises:
        ConfigError: ``depth`` is not in 1 to 4.

    Example:
        >>> hytra_paths(3, layers=2)
        [(2, 0), (2, 1), (3, 0), (3, 1), (2, 2), (2, 3), (3, 2), (3, 3), (4, 2), (4, 3), (4, 4)]
    """
    if depth not in range(1, 5):
        raise ConfigError(
            "hytra_paths.depth", expected="1 to 4 scales", found=f"{depth}", advice="a block has 4, 3, 2 and 2"
        )
    starts = range(max(0, depth - 2) if restricted else 0, depth)
    return [path for scales in _falling(starts, layers) for path in product(*map(_ops_at, scales))]


def _falling(starts: Sequence[int], layers: int) -> list[tuple[int, ...]]:
    """Return all sequences in which each scale equals the scale before it or is one below it, in ascending order."""
    sequences: list[tuple[int, ...]] = [(start,) for start in starts]
    for _ in range(layers - 1):
        sequences = [(*seq, scale) for seq in sequences for scale in (seq[-1] - 1, seq[-1]) if scale >= 0]
    return sorted(sequences)


def _ops_at(scale: int) -> list[int]:
    return [op for op, (at, _) in enumerate(HYTRA_OPS) if at == scale]


def scale_of(op: int) -> int:
    """Return the scale of a HyTra op.

    Raises:
        ConfigError: an unknown op.

    Example:
        >>> [scale_of(op) for op in range(6)]
        [0, 0, 1, 1, 2, 3]
    """
    if op not in range(len(HYTRA_OPS)):
        raise ConfigError(
            "HyTra", expected=f"an op from 0 to {len(HYTRA_OPS) - 1}", found=f"{op!r}", advice="check the path"
        )
    return HYTRA_OPS[op][0]


def every_path(num_ops: int, layers: int) -> list[Path]:
    """Return all combinations of ops, for spaces whose layers are independent."""
    return list(product(range(num_ops), repeat=layers))


def distinct_paths(candidates: Sequence[Path], count: int, draw: torch.Generator) -> list[Path]:
    """Draw ``count`` different candidates with equal probability, or all candidates if there are fewer."""
    order = torch.randperm(len(candidates), generator=draw)[:count]
    return [candidates[int(i)] for i in order]


def fair_paths(num_ops: int, layers: int, draw: torch.Generator) -> list[Path]:
    """Draw one path per op, so that each layer uses each op in exactly one path."""
    orders = [torch.randperm(num_ops, generator=draw).tolist() for _ in range(layers)]
    return list(zip(*orders))


def encoding_from_best_paths(best_paths: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Convert the best paths of HyTra's blocks to the encoding of a :class:`BossNet`.

    Layers are grouped by scale, the finest first: 1/4 is stage 1, 1/32 stage 4. A scale without layers becomes an
    empty stage, which is one convolution of stride 2 in BossNet.

    Args:
        best_paths: one path per block, the first block's first.

    Raises:
        ConfigError: an unknown op, or a scale that increases.

    Example:
        >>> encoding_from_best_paths([(5, 4, 3, 3), (3, 2, 3, 0)])
        ((1,), (1,), (1, 1, 1, 0, 1), (0,))
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


def searched_encoding(best_paths: Sequence[Sequence[int]], where: object) -> tuple[tuple[int, ...], ...]:
    """Return the encoding of a finished search in HyTra.

    Args:
        best_paths: one path per block, the first block's first.
        where: the file or folder of the paths, for the error.

    Raises:
        DataError: a block has no path, or a path is not one of HyTra's.
        ConfigError: see :func:`encoding_from_best_paths`.
    """
    if len(best_paths) < len(DEPTHS):
        has = "have" if len(best_paths) > 1 else "has"
        raise DataError(f"{where}: {len(best_paths)} of {len(DEPTHS)} blocks {has} a best path; let the search finish")
    if len(best_paths) > len(DEPTHS):
        raise DataError(
            where,
            expected=f"the best paths of HyTra's {len(DEPTHS)} blocks",
            found=f"{len(best_paths)}",
            advice="give a bestpath file of a search in the space hytra",
        )
    for block, (path, depth) in enumerate(zip(best_paths, DEPTHS)):
        if tuple(path) not in hytra_paths(depth, restricted=False):
            raise DataError(
                f"{where}: block {block}",
                expected=f"a path of {HYTRA_LAYERS} ops at {depth} scales that fall by at most one",
                found=f"{list(path)}",
                advice="give a bestpath file of a search in the space hytra",
            )
    return encoding_from_best_paths(best_paths)


def path_name(path: Sequence[int]) -> str:
    """Return a path as a string of its op ids, as the files write it."""
    return "".join(map(str, path))
