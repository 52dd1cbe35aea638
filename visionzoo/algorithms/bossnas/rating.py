"""Rating of all paths of a block by their distance from the mean of all paths (paper, section 3.3).

For each path and each batch, the authors' code runs all blocks from the image and estimates the statistics of all norms
again. Here, the earlier blocks run once per batch, and statistics are estimated once per path. The results are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from visionzoo.algorithms.bossnas.bootstrap import SiamesePair, path_loss
from visionzoo.algorithms.bossnas.paths import Path
from visionzoo.algorithms.bossnas.processes import average_over_processes

Statistics = dict[str, tuple[Tensor, Tensor]]


@torch.no_grad()
def rate_paths(
    pair: SiamesePair,
    block: int,
    paths: Sequence[Path],
    best_paths: Sequence[Path],
    bn_views: Tensor,
    batches: Iterable[Tensor],
) -> dict[Path, float]:
    """Compute the score of each path: the loss between its online prediction and the centre of the other side.

    The centre is the mean of the target's projections over all paths. Unlike in training, projections are not
    normalised before the mean. The statistics of the norms are those of one training batch. That batch does not pass
    through the predictor, whose norm has mean 0 and variance 1, as in the authors' code.

    The state of all norms is restored at the end. With several processes, statistics and scores are means over them.

    Args:
        pair: online and target branch.
        block: index of the rated block.
        paths: candidates of the block.
        best_paths: best paths of the earlier blocks.
        bn_views: (B, V, 3, H, W) with V >= 2, a training batch. Its second view determines the statistics.
        batches: (B, 2, 3, H, W) each, both sides of the validation images.

    Returns:
        Score by path; lower is better.
    """
    for branch in (pair.online, pair.target):
        branch.supernet.prepare(block, paths, best_paths)
    before = [(norm, _state_of(norm), norm.momentum) for norm in _norms(pair).values()]
    was_training = pair.training
    try:
        return _rate(pair, block, paths, best_paths, bn_views[:, 1].contiguous(), batches)
    finally:
        pair.train(was_training)
        for norm, state, momentum in before:
            norm.load_state_dict(state)
            norm.momentum = momentum


def _rate(
    pair: SiamesePair,
    block: int,
    paths: Sequence[Path],
    best_paths: Sequence[Path],
    bn_view: Tensor,
    batches: Iterable[Tensor],
) -> dict[Path, float]:
    for norm in _norms(pair).values():
        norm.reset_running_stats()
        norm.momentum = 1.0  # statistics are those of the last batch only
    pair.train()
    entered = pair.target.supernet.prefix(bn_view, best_paths)
    _average_statistics(_norms(pair.target.supernet).values())
    statistics = {path: _statistics(pair, block, path, best_paths, entered) for path in paths}
    pair.eval()
    losses = [_batch_losses(pair, block, paths, best_paths, statistics, views) for views in batches]
    mean = average_over_processes(torch.stack(losses).mean(0))
    return dict(zip(paths, mean.tolist()))


def _statistics(pair: SiamesePair, block: int, path: Path, best_paths: Sequence[Path], entered: Tensor) -> Statistics:
    """Return means and variances of the norms on ``path``, for one batch of the block's input."""
    passed: dict[str, _BatchNorm] = {}
    handles = [
        norm.register_forward_hook(lambda norm, _, __, name=name: passed.__setitem__(name, norm))
        for name, norm in _norms(pair).items()
    ]
    for branch in (pair.target, pair.online):
        branch.project(entered, block, path, best_paths)
    for handle in handles:
        handle.remove()
    _average_statistics(passed.values())
    return {name: (norm.running_mean.clone(), norm.running_var.clone()) for name, norm in passed.items()}  # type: ignore[union-attr]


def _batch_losses(
    pair: SiamesePair,
    block: int,
    paths: Sequence[Path],
    best_paths: Sequence[Path],
    statistics: dict[Path, Statistics],
    views: Tensor,
) -> Tensor:
    """Return the loss of each path on one batch, (P,)."""
    entered = [pair.target.supernet.prefix(views[:, side].contiguous(), best_paths) for side in (0, 1)]
    norms, online = _norms(pair), []
    centre = [torch.zeros(()), torch.zeros(())]
    for path in paths:
        for name, (mean, variance) in statistics[path].items():
            norms[name].running_mean.copy_(mean)  # type: ignore[union-attr]
            norms[name].running_var.copy_(variance)  # type: ignore[union-attr]
        projections = [pair.target.project(x, block, path, best_paths) for x in entered]
        centre = [total.to(x.device) + x for total, x in zip(centre, projections)]
        online.append([pair.online.project(x, block, path, best_paths) for x in entered])
    centre_a, centre_b = (total / len(paths) for total in centre)
    losses = [path_loss(pair.predictor, a, b, centre_a, centre_b) for a, b in online]
    return torch.stack(losses)


def _norms(module: nn.Module) -> dict[str, _BatchNorm]:
    return {name: part for name, part in module.named_modules() if isinstance(part, _BatchNorm)}


def _state_of(norm: _BatchNorm) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in norm.state_dict().items()}


def _average_statistics(norms: Iterable[_BatchNorm]) -> None:
    for norm in norms:
        average_over_processes(norm.running_mean)  # type: ignore[arg-type]
        average_over_processes(norm.running_var)  # type: ignore[arg-type]
