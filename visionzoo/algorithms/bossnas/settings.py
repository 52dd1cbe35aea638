"""What a search does: its settings, those of the paper, and the rates that follow from them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from visionzoo.errors import ConfigError, require_known


@dataclass(frozen=True)
class SearchSettings:
    """What a search does; the defaults are the paper's for HyTra on ImageNet with 8 processes.

    Args:
        work_dir: where everything is written. A search that was interrupted there goes on.
        space: ``hytra``, ``mbconv``, ``nats_cifar10`` or ``nats_cifar100``.
        space_options: arguments of the supernet, e.g. ``{"width": 8, "head_dim": 8, "image_size": 64}``.
        train_root, val_root: folders of images; for CIFAR those of its files. Not read when images are given to
            :func:`search`.
        train_list, val_list: files that name the images to use (``<path> <label>`` lines, of which the label is not
            used); None for all in the folder.
        blocks: how many to search, from the first; None for all.
        epochs: of every block.
        rate_every: epochs from rating to rating; the last one of a block decides.
        paths: sampled per step. Spaces that sample fairly take as many as they have ops.
        views: per side, path k sees view k.
        batch_size: images per process and step.
        update_interval: steps whose gradients are summed for one update. Each step's loss is divided by it, and the
            gradients of its paths are summed, not averaged.
        lr, momentum, weight_decay, eta: of LARS.
        warmup_epochs: of every block, from a ten-thousandth of the rate; it then falls by a cosine, epoch by epoch.
        base_momentum: of the target, at the start of every block; 1 at its end.
        projector_width, projection: features inside and behind projector and predictor.
        rating_batch_size, rating_images: of a validation batch; how many images at most, None for all.
        best_paths: a ``bestpath`` file. Blocks that it knows are trained, but not rated.
        checkpoint_every: steps from checkpoint to checkpoint, beside the end of every epoch; 0 for those alone.
        train_prefix: train finished blocks further; see :class:`SiamesePair`.
        workers: processes per process that read images.
        seed: of everything.
        device: ``cpu``, ``cuda`` or ``cuda:<number>``.
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

# Where the paper's other searches differ from the defaults.
_PAPER: dict[str, dict[str, Any]] = {
    "hytra": {},
    "mbconv": {},
    "nats_cifar10": dict(train_root="data/cifar", val_root="data/cifar", **_NATS),
    "nats_cifar100": dict(train_root="data/cifar", val_root="data/cifar", **_NATS),
}


def paper_settings(space: str, work_dir: str | Path, **changes: Any) -> SearchSettings:
    """The settings of the paper's search of a space, for 8 processes (4 for NATS-Bench), and what to change in them.

    Raises:
        UnknownName: no such space.
    """
    require_known(space, _PAPER, "search space")
    return SearchSettings(work_dir, space, **{**_PAPER[space], **changes})


def learning_rate(settings: SearchSettings, step: int, steps_per_epoch: int) -> float:
    """Rate of a step counted from the block's start: a cosine by epochs, and a linear rise by steps at the start."""
    epoch = step // steps_per_epoch
    rate = settings.lr * (math.cos(math.pi * epoch / settings.epochs) + 1) / 2
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        rate *= 1 - (1 - step / warmup) * (1 - 1e-4)
    return rate


def target_momentum(base: float, progress: float) -> float:
    """From ``base`` at progress 0 to 1 at progress 1, by a cosine."""
    return 1 - (1 - base) * (math.cos(math.pi * progress) + 1) / 2


# What may change between the parts of an interrupted search.
_MAY_CHANGE = ("work_dir", "workers", "device", "checkpoint_every")


def comparable(settings: SearchSettings) -> dict[str, Any]:
    """What must be the same when a search goes on, in plain values."""
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
    """Settings that fit together.

    Raises:
        ConfigError: a number that no search can be run with. UnknownName: an unknown space.
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
