"""Ensemble bootstrapping: each path learns to predict the mean projection of several paths of another view.

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
    """Compute the mean over the batch of -2 cos(prediction, target).

    Args:
        prediction, target: (B, D).

    Returns:
        A scalar in [-2, 2].

    Example:
        >>> latent_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 0.0]])).item()
        -2.0
    """
    return -2 * (F.normalize(prediction, dim=1) * F.normalize(target, dim=1)).sum(1).mean()


def ensemble(projections: Sequence[Tensor]) -> Tensor:
    """Compute the mean of the normalised projections of all paths. The mean is not normalised again.

    Args:
        projections: P tensors of (B, D).

    Returns:
        (B, D).

    Example:
        >>> ensemble([torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]])]).tolist()
        [[0.5, 0.5]]
    """
    return torch.stack([F.normalize(x, dim=1) for x in projections]).mean(0)


class Projector(nn.Module):
    """Project a map (B, C, H, W) to a vector (B, D): adapt its channels, average it, and apply two linear layers.

    Args:
        in_channels: C of the averaged map.
        reducers: constructors of the modules that convert maps with other channels, by the C of these maps.
        hidden, out: features of the two layers; ``out`` is D.

    Example:
        >>> Projector(4, {}, hidden=8, out=3)(torch.zeros(2, 4, 5, 5)).shape
        torch.Size([2, 3])
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
    """Two linear layers that predict a projection from another projection, (B, D) to (B, D).

    Example:
        >>> Predictor(features=3, hidden=8)(torch.zeros(2, 3)).shape
        torch.Size([2, 3])
    """

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
    """Supernet, and the projector after the searched block."""

    def __init__(self, supernet: Supernet, projector: Projector):
        super().__init__()
        self.supernet, self.projector = supernet, projector

    def project(self, x: Tensor, block: int, path: Path, best_paths: Sequence[Path]) -> Tensor:
        """Run the block's input along ``path`` and project the result to (B, D). The input of block 0 is images."""
        return self.projector(self.supernet.run_block(x, block, path, best_paths))


class SiamesePair(nn.Module):
    """Online branch, which is trained, and target branch, which is its moving average.

    Args:
        online, target: branches of the same shape with equal initial weights.
        predictor: module after the online branch.
        train_prefix: propagate gradients to the blocks before the searched block, as the authors' code does. The paper
            trains block by block.

    Example:
        >>> from visionzoo.algorithms.bossnas.nats import NATSSupernet
        >>> branches = []
        >>> for _ in range(2):
        ...     supernet = NATSSupernet(projected_channels=8)
        ...     channels, reducers = supernet.projected(0)
        ...     branches.append(Branch(supernet, Projector(channels, reducers, hidden=8, out=4)))
        >>> pair = SiamesePair(*branches, Predictor(4, 8))
        >>> views, draw = torch.ones(2, 2, 3, 8, 8), torch.Generator()
        >>> paths = [(0, 1), (2, 3)]
        >>> targets = pair.targets(views, 0, paths, [], draw)
        >>> len(list(pair.path_losses(views, 0, paths, [], targets)))
        2
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
        """Compute the ensemble of both sides with the target branch.

        Args:
            views: (B, 2 * V, 3, H, W), the V views of side A before those of side B. Path k reads view k modulo V.
            block: index of the searched block.
            paths: P sampled paths.
            best_paths: best paths of the earlier blocks.
            draw: generator in the same state in all processes. It shuffles images between processes, so that the norms
                of the target branch process other batches than those of the online branch.

        Returns:
            (B, D) of side A and of side B.
        """
        sides = []
        for side in (0, 1):
            shuffle = _Shuffle(len(views), draw)
            inputs = [shuffle(view_of(views, side, k)) for k in range(_views_per_side(views))]
            prepared = [self.target.supernet.prefix(x, best_paths) for x in inputs]
            projections = [
                self.target.project(prepared[k % len(prepared)], block, path, best_paths)
                for k, path in enumerate(paths)
            ]
            sides.append(ensemble([shuffle.undo(x) for x in projections]))
        return sides[0], sides[1]

    def path_losses(
        self,
        views: Tensor,
        block: int,
        paths: Sequence[Path],
        best_paths: Sequence[Path],
        targets: tuple[Tensor, Tensor],
    ) -> Iterator[Tensor]:
        """Yield one loss per path, in [-4, 4], between the prediction of each side and the ensemble of the other side.

        Losses are computed one at a time, so that the graph of a path can be freed before the next graph is created.
        """
        ensemble_a, ensemble_b = targets
        for k, path in enumerate(paths):
            projections = []
            for side in (0, 1):
                with nullcontext() if self.train_prefix else torch.no_grad():
                    x = self.online.supernet.prefix(view_of(views, side, k), best_paths)
                projections.append(self.online.project(x, block, path, best_paths))
            yield path_loss(self.predictor, projections[0], projections[1], ensemble_a, ensemble_b)

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Move each target weight t towards its online weight o: ``t = momentum * t + (1 - momentum) * o``."""
        online = dict(self.online.named_parameters())
        for name, weight in self.target.named_parameters():
            weight.lerp_(online[name], 1 - momentum)


def path_loss(predictor: nn.Module, online_a: Tensor, online_b: Tensor, target_a: Tensor, target_b: Tensor) -> Tensor:
    """Compute the loss of one path: L(pred(online A), target B) + L(pred(online B), target A).

    Args:
        predictor: (B, D) to (B, D).
        online_a, online_b, target_a, target_b: projections of sides A and B, (B, D).

    Returns:
        A scalar in [-4, 4].

    Example:
        >>> x = torch.tensor([[2.0, 0.0]])
        >>> path_loss(nn.Identity(), x, x, x, -x).item()
        0.0
    """
    loss_a = latent_loss(predictor(online_a), target_b)
    return loss_a + latent_loss(predictor(online_b), target_a)


def view_of(views: Tensor, side: int, k: int) -> Tensor:
    """Return view ``k`` modulo V of a side of (B, 2 * V, 3, H, W)."""
    per_side = _views_per_side(views)
    return views[:, side * per_side + k % per_side].contiguous()


def _views_per_side(views: Tensor) -> int:
    return views.shape[1] // 2


class _Shuffle:
    """Exchange the images of a batch between processes, and undo the exchange. One process changes nothing."""

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
