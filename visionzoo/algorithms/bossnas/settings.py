"""Settings of a search, those of the paper, and the resulting learning rates and momenta."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from visionzoo.datasets.findings import shown
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


@dataclass(frozen=True)
class _Range:
    """Allowed values of a setting: numbers of one type in a range, and None if ``optional``."""

    kind: type
    least: float
    most: float = math.inf
    optional: bool = False

    def allows(self, value: Any) -> bool:
        if value is None:
            return self.optional
        is_number = isinstance(value, int | self.kind) and not isinstance(value, bool)
        return is_number and math.isfinite(value) and self.least <= value <= self.most

    def __str__(self) -> str:
        upper = f" and at most {self.most:g}" if math.isfinite(self.most) else ""
        name = "a whole number" if self.kind is int else "a number"
        return f"{name} of at least {self.least:g}{upper}" + (" or None" if self.optional else "")


# Upper limits are far above any use; a larger number has lost a decimal point, and would fill the memory.
_RANGES = {
    "blocks": _Range(int, 1, optional=True),
    "epochs": _Range(int, 1, 1_000_000),
    "rate_every": _Range(int, 1),
    "paths": _Range(int, 1),
    "views": _Range(int, 1, 1000),
    "batch_size": _Range(int, 2),
    "update_interval": _Range(int, 1),
    "lr": _Range(float, 1e-12),
    "momentum": _Range(float, 0, 1),
    "weight_decay": _Range(float, 0),
    "eta": _Range(float, 1e-12),
    "warmup_epochs": _Range(float, 0),
    "base_momentum": _Range(float, 0, 1),
    "projector_width": _Range(int, 1, 1_000_000),
    "projection": _Range(int, 1, 1_000_000),
    "rating_batch_size": _Range(int, 2),
    "rating_images": _Range(int, 1, optional=True),
    "checkpoint_every": _Range(int, 0),
    "workers": _Range(int, 0, 1000),
    "seed": _Range(int, 0, 2**63 - 1),
}
_PATHS = ("work_dir", "train_root", "val_root")
_OPTIONAL_PATHS = ("train_list", "val_list", "best_paths")


def check_settings(settings: SearchSettings) -> None:
    """Check that a search can run with these settings.

    Raises:
        ConfigError: a value of another type or outside its range.
        UnknownName: an unknown space.
    """
    require_known(settings.space, _PAPER, "search space")
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        expected = _expected(entry.name, value)
        if expected is not None:
            raise ConfigError(entry.name, expected=expected, found=shown(value), advice="change it, or leave it out")


def _expected(name: str, value: Any) -> str | None:
    """Return the expected values of a setting if ``value`` is not one of them, else None."""
    if name in _RANGES:
        return None if _RANGES[name].allows(value) else str(_RANGES[name])
    if name in (*_PATHS, *_OPTIONAL_PATHS):
        is_path = isinstance(value, str | Path) and bool(str(value))
        return None if is_path or (value is None and name in _OPTIONAL_PATHS) else "a path"
    if name == "train_prefix":
        return None if isinstance(value, bool) else "True or False"
    if name == "space_options":
        is_options = isinstance(value, dict) and all(isinstance(key, str) for key in value)
        return None if is_options else "options of the space by name"
    return None if isinstance(value, str) else "a name"
