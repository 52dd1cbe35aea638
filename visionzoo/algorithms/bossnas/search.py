"""Search, block by block: train the block's paths against their ensemble, rate all paths, and keep the best.

All random numbers depend only on the seed, the block, the epoch and the step. An interrupted run that is resumed from
its last checkpoint therefore has the same result.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visionzoo.algorithms.bossnas.bootstrap import Branch, Predictor, Projector, SiamesePair
from visionzoo.algorithms.bossnas.lars import LARS, named_groups
from visionzoo.algorithms.bossnas.path_files import read_best_paths, write_best_paths, write_ranking
from visionzoo.algorithms.bossnas.paths import Path as OpPath
from visionzoo.algorithms.bossnas.paths import encoding_from_best_paths
from visionzoo.algorithms.bossnas.processes import average_over_processes
from visionzoo.algorithms.bossnas.rating import rate_paths
from visionzoo.algorithms.bossnas.search_state import read_search_state
from visionzoo.algorithms.bossnas.settings import (
    SearchSettings,
    check_settings,
    comparable,
    learning_rate,
    target_momentum,
)
from visionzoo.algorithms.bossnas.spaces import check_space_options, image_size_of, supernet_of
from visionzoo.algorithms.bossnas.supernet import Supernet, weights_drawn_from
from visionzoo.algorithms.bossnas.views import (
    ListedImages,
    ViewPairs,
    batches_of,
    cifar_images,
    cifar_sides,
    epoch_order,
    imagenet_sides,
    seeded,
    steps_of_epoch,
)
from visionzoo.engine.workers import explained
from visionzoo.errors import CheckpointError, ConfigError, DataError, RunFailed
from visionzoo.system import distributed
from visionzoo.system.atomic import cannot_write, write_file, write_text

Images = Sequence[np.ndarray]
Watch = Callable[[Iterable[Tensor], int, str], Iterator[Tensor]]

CHECKPOINT = "search.pth"


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes:
        best_paths: best path of each block.
        encoding: encoding of the corresponding :class:`BossNet`; None if the space is not HyTra.
        losses: mean loss of each epoch, as (block, epoch, loss).
        ranking: score of each path of the last rated block.
    """

    best_paths: list[OpPath]
    encoding: tuple[tuple[int, ...], ...] | None
    losses: list[tuple[int, int, float]]
    ranking: dict[OpPath, float]


def search(
    settings: SearchSettings,
    *,
    train_images: Images | None = None,
    val_images: Images | None = None,
    log: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> SearchResult:
    """Search a space without labels, or resume an interrupted search in the same folder.

    Each rating writes ``path_rank/path_rank_<block>_<time>.yml`` and ``path_rank/bestpath_<block>_<epoch>_<time>.yml``.
    ``search.pth`` is the checkpoint, and ``search.json`` contains losses and the result. Processes that are started by
    torchrun share the images.

    Args:
        settings: see :class:`SearchSettings`.
        train_images, val_images: images, (H, W, 3) uint8 RGB each. They replace the folders in ``settings``.
        log: function that receives lines of text in the first process.
        watch: function that shows progress in the first process. Its arguments are the batches of an epoch or a rating,
            their number and a title. It must return an iterator over the same batches.

    Returns:
        Best paths, losses and ranking.

    Raises:
        ConfigError: impossible settings, or settings that differ from those of the search to resume.
        DataError: images or the file of best paths cannot be read.
        OutputError: the folder cannot be written.
        RunFailed: the loss is not finite, or a worker died.
    """
    check_settings(settings)
    check_space_options(settings)
    distributed.start(distributed.find_launcher(), _device(settings))
    with explained():
        return _Search(settings, train_images, val_images, log or (lambda line: None), watch).run()


class _Search:
    """State of a running search. ``block``, ``epoch`` and ``step`` are those of the next step."""

    def __init__(
        self,
        settings: SearchSettings,
        train: Images | None,
        val: Images | None,
        log: Callable[[str], None],
        watch: Watch | None = None,
    ):
        self.settings, self.device = settings, _device(settings)
        self.train_images = _images(settings, train=True) if train is None else train
        self.val_images = _images(settings, train=False) if val is None else val
        if len(self.val_images) < distributed.world_size():
            raise DataError(
                "validation",
                expected=f"an image for each of the {distributed.world_size()} processes",
                found=f"{len(self.val_images)}",
                advice="give more images or use fewer processes",
            )
        self.log = log if distributed.is_first() else (lambda line: None)
        self.watch = watch if watch and distributed.is_first() else (lambda items, total, title: iter(items))
        self.work_dir = Path(settings.work_dir)
        _make_folder(self.work_dir / "path_rank")
        self.given_paths = read_best_paths(Path(settings.best_paths)) if settings.best_paths else []
        self.sides = cifar_sides() if settings.space.startswith("nats") else imagenet_sides(image_size_of(settings))
        self.block = self.epoch = self.step = 0
        self.best_paths: list[OpPath] = []
        self.losses: list[tuple[int, int, float]] = []
        self.epoch_losses: list[float] = []
        self.ranking: dict[OpPath, float] = {}
        self.online, self.target = supernet_of(settings).to(self.device), supernet_of(settings).to(self.device)
        self.num_blocks = settings.blocks or self.online.num_blocks
        if self.num_blocks > self.online.num_blocks:
            raise ConfigError(
                "blocks",
                expected=f"at most the {self.online.num_blocks} of {settings.space}",
                found=f"{settings.blocks}",
                advice="leave it out",
            )
        _check_given(self.given_paths[: self.num_blocks], self.online, settings.best_paths)
        steps = steps_of_epoch(len(self.train_images), settings.batch_size, distributed.world_size())
        if steps * settings.epochs < settings.update_interval:
            raise ConfigError(
                "update_interval",
                expected=f"at most the {steps * settings.epochs} steps of a block",
                found=f"{settings.update_interval}",
                advice="lower it, because no weight would be updated",
            )
        self.steps_per_epoch = steps

    def run(self) -> SearchResult:
        self._begin_block()
        self._resume()
        while self.block < self.num_blocks:
            self._finish_epoch()
            if self.epoch == self.settings.epochs:
                self._freeze_block()
        self._write_summary()
        encoding = encoding_from_best_paths(self.best_paths) if self.settings.space == "hytra" else None
        return SearchResult(self.best_paths, encoding, self.losses, self.ranking)

    # ----------------------------------------------------------------------- one block

    def _begin_block(self) -> None:
        """Create projector, predictor and optimizer, and delete the gradients of the last block."""
        settings = self.settings
        with weights_drawn_from(settings.seed, f"projector.{self.block}"):
            channels, reducers = self.online.projected(self.block)
            online = Projector(channels, reducers, settings.projector_width, settings.projection)
            predictor = Predictor(settings.projection, settings.projector_width)
        target = Projector(channels, reducers, settings.projector_width, settings.projection)
        target.load_state_dict(online.state_dict())
        self.pair = SiamesePair(
            Branch(self.online, online), Branch(self.target, target), predictor, train_prefix=settings.train_prefix
        ).to(self.device)
        self.pair.train()
        self.pair.zero_grad()
        self.optimizer = LARS(
            [{"params": [], "exclude": False}, {"params": [], "exclude": True, "weight_decay": 0.0}],
            settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            eta=settings.eta,
        )
        self.optimized: dict[str, Tensor] = {}
        self.epoch = self.step = 0

    def _freeze_block(self) -> None:
        """Keep only the ops on the block's best path, and start the next block."""
        for supernet in (self.online, self.target):
            supernet.keep_path(self.block, self.best_paths[self.block])
        self.optimized = {}
        self.block += 1
        if self.block < self.num_blocks:
            self._begin_block()
        self._save()

    # ----------------------------------------------------------------------- one epoch

    def _finish_epoch(self) -> None:
        """Train the remaining steps of the epoch, and rate the paths if a rating is due."""
        if self.step < self.steps_per_epoch * (self.epoch + 1):
            left = self.steps_per_epoch * (self.epoch + 1) - self.step
            for views in self.watch(self._train_batches(), left, f"block {self.block}, epoch {self.epoch + 1}"):
                self._train_step(views.to(self.device))
            loss = float(np.mean(self.epoch_losses))
            self.losses.append((self.block, self.epoch, loss))
            self.epoch_losses = []
            self.log(f"block {self.block}, epoch {self.epoch + 1} of {self.settings.epochs}: loss {loss:.4f}")
            self._save()
        is_last = self.epoch + 1 == self.settings.epochs
        if is_last or (self.epoch + 1) % self.settings.rate_every == 0:
            self._choose_path()
        self.epoch += 1
        self._save()

    def _train_batches(self) -> Iterator[Tensor]:
        settings, done = self.settings, self.step - self.steps_per_epoch * self.epoch
        key = (settings.seed, "train", self.block, self.epoch)
        ranks, rank = distributed.world_size(), distributed.rank()
        order = epoch_order(len(self.train_images), settings.batch_size, ranks, rank, seeded(*key))
        pairs = ViewPairs(self.train_images, self.sides, settings.views, key)
        left = order[done * settings.batch_size :]
        return batches_of(pairs, left, settings.batch_size, drop_last=True, workers=settings.workers)

    def _train_step(self, views: Tensor) -> None:
        settings = self.settings
        draw = seeded(settings.seed, "paths", self.block, self.step)
        paths = self.online.sample(self.block, self.best_paths, settings.paths, draw)
        for supernet in (self.online, self.target):
            supernet.prepare(self.block, paths, self.best_paths)
        self.target.requires_grad_(False)
        known = self.best_paths[: self.block]
        targets = self.pair.targets(views, self.block, paths, known, draw)
        losses = []
        for loss in self.pair.path_losses(views, self.block, paths, known, targets):
            (loss / settings.update_interval).backward()
            losses.append(float(loss.detach()))
        self.epoch_losses.append(self._checked(float(np.mean(losses))))
        if (self.step + 1) % settings.update_interval == 0:
            self._update()
        self.step += 1
        if settings.checkpoint_every and self.step % settings.checkpoint_every == 0:
            self._save()

    def _checked(self, loss: float) -> float:
        loss = average_over_processes(torch.tensor(loss, device=self.device)).item()
        if not math.isfinite(loss):
            raise RunFailed(
                f"block {self.block}, step {self.step}",
                expected="a finite loss",
                found=f"{loss}",
                advice="lower the learning rate",
            )
        return loss

    def _update(self) -> None:
        """Update the online branch by LARS, then the target. Weights whose gradient is zero are unchanged."""
        settings = self.settings
        self._adopt_parameters()
        for weight in self.optimized.values():
            if weight.grad is not None:
                average_over_processes(weight.grad)
                if not weight.grad.any():
                    weight.grad = None
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(settings, self.step, self.steps_per_epoch)
        self.optimizer.step()
        self.optimizer.zero_grad()
        progress = self.step / (settings.epochs * self.steps_per_epoch)
        self.pair.follow(target_momentum(settings.base_momentum, progress))

    def _adopt_parameters(self) -> None:
        """Add new parameters to the optimizer."""
        by_kind = named_groups(self.pair)
        for is_excluded, group in zip((False, True), self.optimizer.param_groups):
            for name, weight in by_kind[is_excluded].items():
                if weight.requires_grad and name not in self.optimized:
                    self.optimized[name] = weight
                    group["params"].append(weight)

    # ----------------------------------------------------------------------- rating

    def _choose_path(self) -> None:
        del self.best_paths[self.block :]
        if self.block < len(self.given_paths):
            self.best_paths.append(self.given_paths[self.block])
            self._prepare_given()
        else:
            self.ranking = self._rate()
            self.best_paths.append(min(self.ranking, key=self.ranking.__getitem__))
        self.log(f"block {self.block}: best path {list(self.best_paths[-1])}")
        if distributed.is_first():
            stamp = time.strftime("%m-%d-%H-%M-%S")
            folder = self.work_dir / "path_rank"
            if self.block >= len(self.given_paths):
                write_ranking(folder / f"path_rank_{self.block}_{stamp}.yml", self.ranking)
            write_best_paths(folder / f"bestpath_{self.block}_{self.epoch}_{stamp}.yml", self.best_paths)

    def _prepare_given(self) -> None:
        for supernet in (self.online, self.target):
            supernet.prepare(self.block, [self.best_paths[-1]], self.best_paths[:-1])

    def _rate(self) -> dict[OpPath, float]:
        settings, ranks, rank = self.settings, distributed.world_size(), distributed.rank()
        count = min(len(self.val_images), settings.rating_images or len(self.val_images))
        val = ViewPairs(self.val_images, self.sides, 1, (settings.seed, "val"))
        own = range(count)[rank::ranks]
        batches = batches_of(val, own, settings.rating_batch_size, drop_last=False, workers=settings.workers)
        watched = self.watch(batches, -(-len(own) // settings.rating_batch_size), f"rating of block {self.block}")
        return rate_paths(
            self.pair,
            self.block,
            self.online.candidates(self.block, self.best_paths),
            self.best_paths,
            self._bn_views(),
            (views.to(self.device) for views in watched),
        )

    def _bn_views(self) -> Tensor:
        """Return a training batch, which is the same during the whole search."""
        settings, ranks, rank = self.settings, distributed.world_size(), distributed.rank()
        key = (settings.seed, "statistics")
        order = torch.randperm(len(self.train_images), generator=seeded(*key)).tolist()[rank::ranks]
        pairs = ViewPairs(self.train_images, self.sides, settings.views, key)
        size = min(settings.rating_batch_size, len(order))
        return next(batches_of(pairs, order, size, drop_last=False, workers=0)).to(self.device)

    # ----------------------------------------------------------------------- resuming

    def _save(self) -> None:
        """Write the complete state of the search to the checkpoint, atomically."""
        if not distributed.is_first():
            return
        state = self.optimizer.state
        saved = {
            "settings": comparable(self.settings),
            "place": [self.block, self.epoch, self.step],
            "best_paths": [list(path) for path in self.best_paths],
            "losses": [list(entry) for entry in self.losses],
            "epoch_losses": list(self.epoch_losses),
            "ranking": [[list(path), score] for path, score in self.ranking.items()],
            "model": self.pair.state_dict(),
            "momentum": {
                name: state[weight]["momentum_buffer"] for name, weight in self.optimized.items() if state.get(weight)
            },
            "gradients": {
                name: weight.grad for name, weight in self.pair.named_parameters() if weight.grad is not None
            },
        }
        write_file(self.work_dir / CHECKPOINT, lambda file: torch.save(saved, file))
        self._write_summary()

    def _resume(self) -> None:
        file = self.work_dir / CHECKPOINT
        if not file.exists():
            return
        saved = read_search_state(file, self.device)
        self._require_same_settings(saved["settings"], file)
        try:
            self._restore(saved)
        except (RuntimeError, LookupError, ValueError, ConfigError) as error:
            raise CheckpointError(
                file,
                expected="tensors of this search",
                found="some of another network or another block",
                advice=f"delete {file.name} to search again",
            ) from error
        self.log(f"resumed at block {self.block}, epoch {self.epoch + 1}, step {self.step}")

    def _restore(self, saved: dict[str, Any]) -> None:
        self.best_paths = [tuple(path) for path in saved["best_paths"]]
        block, epoch, step = saved["place"]
        self.block = min(block, self.num_blocks - 1)  # a finished search keeps the parts of its last block
        self._begin_block()
        self.block, self.epoch, self.step = block, epoch, step
        self.losses = [(int(b), int(e), float(loss)) for b, e, loss in saved["losses"]]
        self.epoch_losses = list(saved["epoch_losses"])
        self.ranking = {tuple(path): score for path, score in saved["ranking"]}
        self.pair.load_state_dict(saved["model"])
        self.pair.target.requires_grad_(False)
        self._adopt_parameters()
        for name, value in saved["momentum"].items():
            self.optimizer.state[self.optimized[name]] = {"momentum_buffer": value}
        parameters = dict(self.pair.named_parameters())
        for name, value in saved["gradients"].items():
            parameters[name].grad = value

    def _require_same_settings(self, saved: dict[str, Any], file: Path) -> None:
        ours = comparable(self.settings)
        changed = [name for name in ours if ours[name] != saved.get(name)]
        if changed:
            name = changed[0]
            raise ConfigError(
                file,
                expected="the settings of the search to resume",
                found=f"{name}={ours[name]!r} instead of {saved.get(name)!r}",
                advice="use another work_dir, or the earlier settings",
                problems=[f"{other}: {saved.get(other)!r} is now {ours[other]!r}" for other in changed[1:]],
            )

    def _write_summary(self) -> None:
        if distributed.is_first():
            summary = {
                "best_paths": [list(path) for path in self.best_paths],
                "losses": [{"block": block, "epoch": epoch, "loss": loss} for block, epoch, loss in self.losses],
                "finished": self.block >= self.num_blocks,
            }
            write_text(self.work_dir / "search.json", json.dumps(summary, indent=1) + "\n")


def _check_given(paths: Sequence[OpPath], supernet: Supernet, where: object) -> None:
    """Check the paths of ``best_paths`` before the search.

    Raises:
        DataError: a path is not a candidate of its block.
    """
    for block, path in enumerate(paths):
        if path not in supernet.candidates(block, paths[:block]):
            before = [list(earlier) for earlier in paths[:block]]
            raise DataError(
                where,
                expected=f"a path of block {block}",
                found=f"{list(path)}, which is not a candidate after {before}",
                advice="give a file of this space",
            )


def _device(settings: SearchSettings) -> torch.device:
    """Return the device. ``cuda`` is the GPU of this process."""
    return (
        torch.device("cuda", distributed.local_rank()) if settings.device == "cuda" else torch.device(settings.device)
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _images(settings: SearchSettings, *, train: bool) -> Images:
    root, list_file = (settings.train_root, settings.train_list) if train else (settings.val_root, settings.val_list)
    if settings.space.startswith("nats"):
        return cifar_images(root, settings.space.removeprefix("nats_"), train=train)  # type: ignore[return-value]
    return ListedImages(root, list_file)
