"""Stochastic depth that increases with the progress of training."""

from __future__ import annotations

from torch import Tensor, nn

from visionzoo.errors import ConfigError


class ScheduledDropPath(nn.Module):
    """Drop a path for some images, with a rate that grows during training (Zoph et al. 2018, arXiv:1707.07012).

    In training, the path of each image is kept with probability ``1 - done * (1 - keep_prob)`` and divided by it, so
    that the expected value does not change. Each call draws a new mask.

    Args:
        keep_prob: probability of keeping a path at the end of training, above 0 and at most 1.

    Attributes:
        done: share of training that is done, 0 to 1; 0 before the first call of :meth:`set_done`.

    Raises:
        ConfigError: ``keep_prob`` out of its range.

    Example:
        >>> drop = ScheduledDropPath(keep_prob=0.5)
        >>> drop.set_done(0.5)
        >>> drop.current_keep_prob
        0.75
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
        """Set the share of training that is done; values above 1 become 1."""
        self.done = min(1.0, done)

    @property
    def current_keep_prob(self) -> float:
        """Probability of keeping a path at the current progress."""
        return 1 - self.done * (1 - self.keep_prob)

    @property
    def is_active(self) -> bool:
        """True if paths can be dropped now."""
        return self.training and self.current_keep_prob < 1

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ...) to the same shape."""
        if not self.is_active:
            return x
        keep = self.current_keep_prob
        mask = x.new_empty(x.shape[0], *[1] * (x.ndim - 1)).bernoulli_(keep)
        return x * mask.div_(keep)

    def extra_repr(self) -> str:
        return f"keep_prob={self.keep_prob:.4g}"
