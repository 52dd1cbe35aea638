"""Settings of a search, those of the paper, and the resulting learning rates and momenta."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from visionzoo.errors import ConfigError, require_known


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a search. The defaults are the paper's for HyTra on ImageNet with 8 processes.

    Args:
        work_dir: output folder. An interrupted search in this folder is resumed.
        space: ``hytra``, ``mbconv``, ``nats_cifar10`` or ``nats_cifar100``.
        space_options: arguments of the supernet, e.g. ``{"width": 8, "head_dim": 8, "image_size": 64}``.
        train_root, val_root: folders of images, or of CIFAR's files. They are not read if :func:`search` gets images.
        train_list, val_list: files with the images to use, one line ``<path> <label>`` per image. Labels are not used.
            None for all images of the folder.
        blocks: number of blocks to search, counted from the first; None for all.
        epochs: epochs of each block.
        rate_every: epochs between ratings. The last rating of a block decides.
        paths: number of paths sampled per step. ``mbconv`` and NATS-Bench sample one path per op instead.
        views: views per side. Path k reads view k modulo ``views``.
        batch_size: images per process and step.
        update_interval: steps whose gradients are summed for one update. The loss of each step is divided by this
            number. The gradients of its paths are summed, not averaged.
        lr, momentum, weight_decay, eta: settings of LARS.
        warmup_epochs: warm-up of each block, from a ten-thousandth of the rate. The rate also decreases by a cosine
            from epoch to epoch.
        base_momentum: momentum of the target at the start of each block. It increases to 1 at the end.
        projector_width, projection: hidden and output features of projector and predictor.
        rating_batch_size: images per process of a validation batch.
        rating_images: maximum number of validation images; None for all.
        best_paths: a ``bestpath`` file. Its blocks are trained, but not rated.
        checkpoint_every: steps between checkpoints, in addition to those at the end of each epoch; 0 for only those.
        train_prefix: continue the training of finished blocks; see :class:`SiamesePair`.
        workers: subprocesses per process that read images.
        seed: seed of all random numbers.
        device: ``cpu``, ``cuda`` or ``cuda:<number>``.

    Example:
        >>> SearchSettings("work", epochs=2).space
        'hytra'
    """

    work_dir: str | Path
    space: str = "hytra"
    space_options: dict[str, Any] = field(default_factory=dict)
    train_root: str | Path = "data/imagenet/train"
    train_list: str | Path | None = None
    val_root: str | Path = "data/imagenet/val"
    val_list: str | Path | None = None
    blocks: int | None = None
    epochs: int = 6
    rate_every: int = 2
    paths: int = 4
    views: int = 4
    batch_size: int = 64
    update_interval: int = 8
    lr: float = 4.8
    momentum: float = 0.9
    weight_decay: float = 1e-6
    eta: float = 1e-3
    warmup_epochs: float = 1
    base_momentum: float = 0.99
    projector_width: int = 4096
    projection: int = 256
    rating_batch_size: int = 256
    rating_images: int | None = None
    best_paths: str | Path | None = None
    checkpoint_every: int = 0
    train_prefix: bool = False
    workers: int = 0
    seed: int = 0
    device: str = "cpu"


_NATS = dict(epochs=50, rate_every=10, views=1, batch_size=256, update_interval=4, lr=0.48, warmup_epochs=2)

# Settings of the paper's searches that differ from the defaults.
_PAPER: dict[str, dict[str, Any]] = {
    "hytra": {},
    "mbconv": {},
    "nats_cifar10": dict(train_root="data/cifar", val_root="data/cifar", **_NATS),
    "nats_cifar100": dict(train_root="data/cifar", val_root="data/cifar", **_NATS),
}


def paper_settings(space: str, work_dir: str | Path, **changes: Any) -> SearchSettings:
    """Return the settings of the paper's search in a space, for 8 processes (4 for NATS-Bench).

    Args:
        space: one of the spaces of :class:`SearchSettings`.
        work_dir: output folder.
        **changes: settings that replace those of the paper.

    Raises:
        UnknownName: an unknown space.

    Example:
        >>> paper_settings("nats_cifar10", "work", lr=0.1).epochs
        50
    """
    require_known(space, _PAPER, "search space")
    return SearchSettings(work_dir, space, **{**_PAPER[space], **changes})


def learning_rate(settings: SearchSettings, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step, counted from the block's start: cosine by epoch, linear warm-up by step."""
    epoch = step // steps_per_epoch
    rate = settings.lr * (math.cos(math.pi * epoch / settings.epochs) + 1) / 2
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        rate *= 1 - (1 - step / warmup) * (1 - 1e-4)
    return rate


def target_momentum(base: float, progress: float) -> float:
    """Return the target's momentum: a cosine from ``base`` at progress 0 to 1 at progress 1."""
    return 1 - (1 - base) * (math.cos(math.pi * progress) + 1) / 2


# Settings that may differ when an interrupted search is resumed.
_MAY_CHANGE = ("work_dir", "workers", "device", "checkpoint_every")


def comparable(settings: SearchSettings) -> dict[str, Any]:
    """Return, as plain values, the settings that must be equal when a search is resumed."""
    values = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()}
    return {name: value for name, value in values.items() if name not in _MAY_CHANGE}


_AT_LEAST = {
    "epochs": 1,
    "rate_every": 1,
    "paths": 1,
    "views": 1,
    "batch_size": 2,
    "update_interval": 1,
    "projector_width": 1,
    "projection": 1,
    "rating_batch_size": 2,
    "checkpoint_every": 0,
    "workers": 0,
}


def check_settings(settings: SearchSettings) -> None:
    """Check that a search can run with these settings.

    Raises:
        ConfigError: a number outside its range.
        UnknownName: an unknown space.
    """
    require_known(settings.space, _PAPER, "search space")
    for entry in fields(settings):
        least, value = _AT_LEAST.get(entry.name), getattr(settings, entry.name)
        if least is not None and (not isinstance(value, int) or value < least):
            raise ConfigError(
                entry.name, expected=f"a whole number of at least {least}", found=f"{value!r}", advice="raise it"
            )
    if settings.blocks is not None and settings.blocks < 1:
        raise ConfigError("blocks", expected="at least 1", found=f"{settings.blocks}", advice="leave it out for all")
    if settings.lr <= 0 or not 0 <= settings.base_momentum <= 1:
        raise ConfigError(
            "lr, base_momentum",
            expected="a rate above 0 and a momentum from 0 to 1",
            found=f"{settings.lr} and {settings.base_momentum}",
            advice="the paper has 4.8 and 0.99",
        )
