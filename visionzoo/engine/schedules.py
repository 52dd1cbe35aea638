"""Learning rates as the classifiers' recipes give them, in closed form: a resumed run has the same ones to the bit."""

from __future__ import annotations

import math
from typing import Any

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from visionzoo.errors import ConfigError
from visionzoo.registry import PARAM_SCHEDULERS


class _ClosedFormLR(LRSchedulerMixin, _ParamScheduler):
    """A learning rate that follows from the step alone; parameter groups keep their ratios to one another."""

    def value_at(self, step: int, base: float) -> float:
        """The learning rate of step ``step`` where the optimizer's is ``base``."""
        raise AssertionError("defined by each schedule")

    def _get_value(self) -> list[float]:
        top = max(self.base_values)
        value = self.value_at(self.last_step, top)
        return [value * base / top if top else 0.0 for base in self.base_values]


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ClosedFormLR):
    """A straight line from ``warmup_start``, then half a cosine to ``eta_min``, then a stretch of ``eta_min``.

    The cosine runs from step 0 on and the line takes the place of its beginning, as in timm and DeiT::

        t < warmup     warmup_start + (lr - warmup_start) * t / warmup
        t < end        eta_min + (lr - eta_min) * (1 + cos(pi * t / end)) / 2
        else           eta_min

    Args:
        optimizer: or its wrapper.
        end: steps (epochs) of the cosine, the warm-up included, the cooldown not.
        warmup: steps of the straight line.
        warmup_start, eta_min: learning rates, of the group with the highest one.
        by_epoch: whether a step is an epoch; ``convert_to_iter_based=True`` then turns epochs into iterations.
        begin, last_step, verbose: as in mmengine's schedulers; ``begin`` has to stay 0.
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
        """The same schedule with a step for each of ``epoch_length`` iterations."""
        return cls(optimizer, end=end * epoch_length, warmup=warmup * epoch_length, by_epoch=False, **kwargs)

    def value_at(self, step: int, base: float) -> float:
        if step < self.warmup:
            return self.warmup_start + (base - self.warmup_start) * step / self.warmup
        if step < self.cosine_steps:
            return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * step / self.cosine_steps)) / 2
        return self.eta_min


@PARAM_SCHEDULERS.register_module()
class StaircaseLR(_ClosedFormLR):
    """Times ``gamma`` after every ``every`` steps, of which there may be fractions: NASNet's x0.97 every 2.4 epochs.

    ``lr * gamma ** floor(t / every)``; NASNet (arXiv 1707.07012), as its authors trained the ImageNet models.

    Args:
        optimizer: or its wrapper.
        gamma: factor of each stair.
        every: length of a stair in steps (epochs); with ``convert_to_iter_based=True`` its iterations are rounded down.
        begin, end, last_step, by_epoch, verbose: as in mmengine's schedulers; ``begin`` has to stay 0.
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
        """The same schedule with a step for each of ``epoch_length`` iterations."""
        length = max(1, int(every * epoch_length))
        return cls(optimizer, every=length, end=end if end == INF else end * epoch_length, by_epoch=False, **kwargs)

    def value_at(self, step: int, base: float) -> float:
        return base * self.gamma ** math.floor(step / self.every)
