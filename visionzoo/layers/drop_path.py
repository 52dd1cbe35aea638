"""Stochastic depth whose strength follows the training's progress."""

from __future__ import annotations

from torch import Tensor, nn

from visionzoo.errors import ConfigError


class ScheduledDropPath(nn.Module):
    """Leave a path out for some images, more often the longer training lasts (Zoph et al. 2018, arXiv:1707.07012).

    While training, every image's path is kept with probability ``1 - done * (1 - keep_prob)`` and divided by it, so
    that the expected value stays. Each call draws its own mask.

    Args:
        keep_prob: probability of keeping a path when training is done, above 0 and at most 1.

    Attributes:
        done: share of training that is done, 0 to 1; 0 until :meth:`set_done` is told otherwise.

    Raises:
        ConfigError: another probability.
    """

    def __init__(self, keep_prob: float):
        super().__init__()
        if not 0 < keep_prob <= 1:
            raise ConfigError(
                "ScheduledDropPath.keep_prob",
                expected="a probability above 0 and at most 1",
                found=f"{keep_prob}",
                advice="use 1 to keep all",
            )
        self.keep_prob, self.done = keep_prob, 0.0

    def set_done(self, done: float) -> None:
        """Tell the share of training that is done; what lies beyond 1 counts as 1."""
        self.done = min(1.0, done)

    @property
    def current_keep_prob(self) -> float:
        """Probability of keeping a path at this point of the training."""
        return 1 - self.done * (1 - self.keep_prob)

    @property
    def is_active(self) -> bool:
        """Whether anything is dropped now."""
        return self.training and self.current_keep_prob < 1

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) to the same shape."""
        if not self.is_active:
            return x
        keep = self.current_keep_prob
        mask = x.new_empty(x.shape[0], *[1] * (x.ndim - 1)).bernoulli_(keep)
        return x * mask.div_(keep)

    def extra_repr(self) -> str:
        return f"keep_prob={self.keep_prob:.4g}"
