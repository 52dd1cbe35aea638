"""Learning rate schedules of the classifiers' recipes in closed form, so a resumed run has bit-identical rates."""

from __future__ import annotations

import math
from typing import Any

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from visionzoo.errors import ConfigError
from visionzoo.registry import PARAM_SCHEDULERS


class _ClosedFormLR(LRSchedulerMixin, _ParamScheduler):
    """Learning rate that depends only on the step. Parameter groups keep the ratios of their rates."""

    def value_at(self, step: int, base: float) -> float:
        """Return the learning rate at ``step`` for an optimizer with learning rate ``base``."""
        raise AssertionError("defined by each schedule")

    def _get_value(self) -> list[float]:
        top = max(self.base_values)
        value = self.value_at(self.last_step, top)
        return [value * base / top if top else 0.0 for base in self.base_values]


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ClosedFormLR):
    """Linear warm-up from ``warmup_start``, then half a cosine to ``eta_min``, then a constant ``eta_min``.

    The cosine starts at step 0, and the warm-up replaces its beginning, as in timm and DeiT::

        t < warmup     warmup_start + (lr - warmup_start) * t / warmup
        t < end        eta_min + (lr - eta_min) * (1 + cos(pi * t / end)) / 2
        else           eta_min

    Args:
        optimizer: an optimizer or its wrapper.
        end: steps (epochs) of the cosine, with the warm-up, without the final constant part.
        warmup: steps of the warm-up, 0 <= ``warmup`` < ``end``.
        warmup_start: learning rate at step 0, for the group with the highest rate.
        eta_min: final learning rate, for the group with the highest rate.
        by_epoch: True if a step is an epoch; ``convert_to_iter_based=True`` then converts epochs to iterations.
        begin, last_step, verbose: as in mmengine's schedulers; ``begin`` must be 0.

    Raises:
        ConfigError: ``warmup``, ``end`` or ``begin`` is out of range.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> schedule = WarmupCosineLR(optimizer, end=4, warmup=2, warmup_start=0.0)
        >>> [round(schedule.value_at(step, 1.0), 4) for step in range(6)]
        [0.0, 0.5, 0.5, 0.1464, 0.0, 0.0]
    """

    def __init__(
        self,
        optimizer: Any,
        end: int,
        warmup: int = 0,
        warmup_start: float = 1e-6,
        eta_min: float = 0.0,
        begin: int = 0,
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ):
        if not 0 <= warmup < end or begin:
            raise ConfigError(
                "WarmupCosineLR",
                expected="0 <= warmup < end and begin=0",
                found=f"warmup={warmup}, end={end}, begin={begin}",
                advice="correct them",
            )
        self.cosine_steps, self.warmup = end, warmup
        self.warmup_start, self.eta_min = warmup_start, eta_min
        super().__init__(optimizer, begin=0, end=INF, last_step=last_step, by_epoch=by_epoch, verbose=verbose)

    @classmethod
    def build_iter_from_epoch(
        cls, optimizer: Any, end: int, warmup: int = 0, by_epoch: bool = True, epoch_length: int = 1, **kwargs: Any
    ) -> WarmupCosineLR:
        """Return the same schedule with ``epoch_length`` iterations per epoch and one step per iteration."""
        return cls(optimizer, end=end * epoch_length, warmup=warmup * epoch_length, by_epoch=False, **kwargs)

    def value_at(self, step: int, base: float) -> float:
        if step < self.warmup:
            return self.warmup_start + (base - self.warmup_start) * step / self.warmup
        if step < self.cosine_steps:
            return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * step / self.cosine_steps)) / 2
        return self.eta_min


@PARAM_SCHEDULERS.register_module()
class StaircaseLR(_ClosedFormLR):
    """Learning rate that is multiplied by ``gamma`` after every ``every`` steps: ``lr * gamma ** floor(t / every)``.

    ``every`` may be a fraction: the authors of NASNet (arXiv 1707.07012) trained the ImageNet models with a factor of
    0.97 every 2.4 epochs.

    Args:
        optimizer: an optimizer or its wrapper.
        gamma: factor of each stair.
        every: length of a stair in steps (epochs), > 0. With ``convert_to_iter_based=True`` it is rounded down to
            whole iterations, at least 1.
        begin, end, last_step, by_epoch, verbose: as in mmengine's schedulers; ``begin`` must be 0.

    Raises:
        ConfigError: ``every`` or ``begin`` is out of range.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> schedule = StaircaseLR(optimizer, gamma=0.5, every=2.5)
        >>> [schedule.value_at(step, 1.0) for step in range(6)]
        [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Any,
        gamma: float,
        every: float,
        begin: int = 0,
        end: int = INF,
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ):
        if not every > 0 or begin:
            raise ConfigError(
                "StaircaseLR",
                expected="every > 0 and begin=0",
                found=f"every={every}, begin={begin}",
                advice="correct them",
            )
        self.gamma, self.every = gamma, every
        super().__init__(optimizer, begin=0, end=end, last_step=last_step, by_epoch=by_epoch, verbose=verbose)

    @classmethod
    def build_iter_from_epoch(
        cls, optimizer: Any, every: float, end: int = INF, by_epoch: bool = True, epoch_length: int = 1, **kwargs: Any
    ) -> StaircaseLR:
        """Return the same schedule with ``epoch_length`` iterations per epoch and one step per iteration."""
        length = max(1, int(every * epoch_length))
        return cls(optimizer, every=length, end=end if end == INF else end * epoch_length, by_epoch=False, **kwargs)

    def value_at(self, step: int, base: float) -> float:
        return base * self.gamma ** math.floor(step / self.every)
