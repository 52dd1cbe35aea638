"""Ensemble bootstrapping: each path learns to predict what several paths together say of another view.

Paper, section 3.2. Tensors: B batch, P paths, D dimensions of a projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionzoo.algorithms.bossnas.paths import Path
from visionzoo.algorithms.bossnas.processes import gathered
from visionzoo.algorithms.bossnas.supernet import Reducers, Supernet
from visionzoo.system import distributed


def latent_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of -2 cos(prediction, target), (B, D) each: in [-2, 2]."""
    return -2 * (F.normalize(prediction, dim=1) * F.normalize(target, dim=1)).sum(1).mean()


def ensemble(projections: Sequence[Tensor]) -> Tensor:
    """Mean of the normalised projections of all paths, P of (B, D) to (B, D). Not normalised again."""
    return torch.stack([F.normalize(x, dim=1) for x in projections]).mean(0)


class Projector(nn.Module):
    """Map to a vector: channels fixed, mean over the map, two linear layers; (B, C, H, W) to (B, D).

    Args:
        in_channels: C that is averaged and projected.
        reducers: what brings maps of other channels there, by C.
        hidden, out: features of the two layers.
    """

    def __init__(self, in_channels: int, reducers: Reducers, hidden: int = 4096, out: int = 256):
        super().__init__()
        self.fix_channels = nn.ModuleDict({str(channels): make() for channels, make in reducers.items()})
        self.fc0, self.bn0 = nn.Linear(in_channels, hidden), nn.BatchNorm1d(hidden)
        self.fc1 = nn.Linear(hidden, out)
        for linear in (self.fc0, self.fc1):
            nn.init.kaiming_normal_(linear.weight, mode="fan_in", nonlinearity="relu")
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        if str(x.shape[1]) in self.fix_channels:
            x = self.fix_channels[str(x.shape[1])](x)
        return self.fc1(self.bn0(self.fc0(x.mean((2, 3)))).relu_())


class Predictor(nn.Module):
    """Two linear layers from a projection to a prediction of another, (B, D) to (B, D)."""

    def __init__(self, features: int = 256, hidden: int = 4096):
        super().__init__()
        self.fc0, self.bn0 = nn.Linear(features, hidden), nn.BatchNorm1d(hidden)
        self.fc1 = nn.Linear(hidden, features)
        for linear in (self.fc0, self.fc1):
            nn.init.normal_(linear.weight, std=0.01)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc1(self.bn0(self.fc0(x)).relu_())


class Branch(nn.Module):
    """A supernet and the projector behind the block that is searched."""

    def __init__(self, supernet: Supernet, projector: Projector):
        super().__init__()
        self.supernet, self.projector = supernet, projector

    def project(self, x: Tensor, block: int, path: Path, best_paths: Sequence[Path]) -> Tensor:
        """The block's input (images for block 0) along ``path`` to (B, D)."""
        return self.projector(self.supernet.run_block(x, block, path, best_paths))


class SiamesePair(nn.Module):
    """The online branch learns, the target branch follows it as a moving average.

    Args:
        online, target: branches of the same shape; the target starts with the online one's weights.
        predictor: behind the online branch.
        train_prefix: let gradients reach the blocks before the one that is searched, as the authors' code does. The
            paper trains block by block.
    """

    def __init__(self, online: Branch, target: Branch, predictor: Predictor, *, train_prefix: bool = False):
        super().__init__()
        self.online, self.target, self.predictor = online, target, predictor
        self.train_prefix = train_prefix
        self.target.requires_grad_(False)

    @torch.no_grad()
    def targets(
        self, views: Tensor, block: int, paths: Sequence[Path], best_paths: Sequence[Path], draw: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The ensemble of both sides.

        Args:
            views: (B, 2 * V, 3, H, W), the V views of side A before those of side B; path k sees view k, or the
                only one there is.
            block: which is searched.
            paths: P sampled ones.
            best_paths: of the blocks before.
            draw: equal in all processes; mixes their batches, so that norms see other images than the online
                branch's.

        Returns:
            (B, D) of side A and of side B.
        """
        sides = []
        for side in (0, 1):
            shuffle = _Shuffle(len(views), draw)
            inputs = [shuffle(view_of(views, side, k)) for k in range(_views_per_side(views))]
            prepared = [self.target.supernet.prefix(x, best_paths) for x in inputs]
            told = [
                self.target.project(prepared[k % len(prepared)], block, path, best_paths)
                for k, path in enumerate(paths)
            ]
            sides.append(ensemble([shuffle.undo(x) for x in told]))
        return sides[0], sides[1]

    def path_losses(
        self,
        views: Tensor,
        block: int,
        paths: Sequence[Path],
        best_paths: Sequence[Path],
        targets: tuple[Tensor, Tensor],
    ) -> Iterator[Tensor]:
        """One loss per path, in [-4, 4], each side's prediction against the other side's ensemble.

        One at a time, so that the graph of a path can go before the next one is made.
        """
        ensemble_a, ensemble_b = targets
        for k, path in enumerate(paths):
            told = []
            for side in (0, 1):
                with nullcontext() if self.train_prefix else torch.no_grad():
                    x = self.online.supernet.prefix(view_of(views, side, k), best_paths)
                told.append(self.online.project(x, block, path, best_paths))
            yield path_loss(self.predictor, told[0], told[1], ensemble_a, ensemble_b)

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Move every weight of the target towards its online one: ``t = momentum * t + (1 - momentum) * o``."""
        online = dict(self.online.named_parameters())
        for name, weight in self.target.named_parameters():
            weight.lerp_(online[name], 1 - momentum)


def path_loss(predictor: nn.Module, online_a: Tensor, online_b: Tensor, target_a: Tensor, target_b: Tensor) -> Tensor:
    """Loss of one path: L(pred(online A), target B) + L(pred(online B), target A)."""
    loss_a = latent_loss(predictor(online_a), target_b)
    return loss_a + latent_loss(predictor(online_b), target_a)


def view_of(views: Tensor, side: int, k: int) -> Tensor:
    """View ``k`` of a side of (B, 2 * V, 3, H, W); if there are fewer, they are taken in turn."""
    per_side = _views_per_side(views)
    return views[:, side * per_side + k % per_side].contiguous()


def _views_per_side(views: Tensor) -> int:
    return views.shape[1] // 2


class _Shuffle:
    """Exchange the images of a batch between processes, and the results back. Alone it changes nothing."""

    def __init__(self, batch: int, draw: torch.Generator):
        self.batch, self.ranks, self.rank = batch, distributed.world_size(), distributed.rank()
        if self.ranks > 1:
            self.order = torch.randperm(batch * self.ranks, generator=draw)

    def __call__(self, x: Tensor) -> Tensor:
        return x if self.ranks == 1 else self._own(gathered(x)[self.order.to(x.device)])

    def undo(self, x: Tensor) -> Tensor:
        return x if self.ranks == 1 else self._own(gathered(x)[self.order.argsort().to(x.device)])

    def _own(self, x: Tensor) -> Tensor:
        return x[self.rank * self.batch : (self.rank + 1) * self.batch]
