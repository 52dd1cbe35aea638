"""Mixup and CutMix: batches whose images are mixed in pairs, and whose labels are soft."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from visionzoo.errors import ConfigError
from visionzoo.registry import MODELS


@MODELS.register_module()
class MixupCutmix:
    """Mix every image of a batch with its opposite, the first with the last and so on, by timm's ``Mixup``.

    Mixup (Zhang et al., ICLR 2018) adds both, weighted by ``lam`` from Beta(alpha, alpha); CutMix (Yun et al.,
    ICCV 2019) puts a rectangle of one into the other, ``lam`` then being the share that stays. One draw from NumPy's
    generator is for the whole batch. In a batch of odd size the last image stays as it is.

    Args:
        num_classes: length of the soft labels.
        mixup_alpha, cutmix_alpha: of the Beta distribution; 0 turns that one off, both 0 leave smoothing alone.
        prob: of mixing a batch at all.
        switch_prob: of CutMix where both are on.
        label_smoothing: share of every label that is spread over all classes, before mixing.
    """

    def __init__(
        self,
        num_classes: int,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        label_smoothing: float = 0.1,
    ):
        from timm.data.mixup import Mixup

        shares = {"prob": prob, "switch_prob": switch_prob, "label_smoothing": label_smoothing}
        wrong = [f"{name}={value}" for name, value in shares.items() if not 0 <= value <= 1]
        if wrong or min(mixup_alpha, cutmix_alpha) < 0:
            found = wrong or [f"mixup_alpha={mixup_alpha}", f"cutmix_alpha={cutmix_alpha}"]
            raise ConfigError("MixupCutmix", expected="shares in [0, 1], alphas from 0 on", found=f"{', '.join(found)}")
        self.num_classes, self.label_smoothing = num_classes, label_smoothing
        self.mix = Mixup(
            mixup_alpha,
            cutmix_alpha,
            prob=prob if mixup_alpha or cutmix_alpha else 0.0,
            switch_prob=switch_prob,
            label_smoothing=label_smoothing,
            num_classes=num_classes,
        )

    def __call__(self, inputs: Tensor, samples: Sequence[Any]) -> tuple[Tensor, Sequence[Any]]:
        """Mixed images, and the samples with their ``gt_score``.

        Args:
            inputs: (N, C, H, W) float images; left as they are.
            samples: N data samples with ``gt_label``, one label each.

        Returns:
            (N, C, H, W) images and the samples, each with ``gt_score``, (num_classes,) float32 of sum 1.
        """
        labels = torch.tensor([int(sample.gt_label) for sample in samples], device=inputs.device)
        scores = self._smooth(labels)
        mixed, even = inputs.clone(), len(samples) // 2 * 2
        if even:
            mixed[:even], scores[:even] = self.mix(mixed[:even], labels[:even])
        for sample, score in zip(samples, scores):
            sample.gt_score = score
        return mixed, samples

    def _smooth(self, labels: Tensor) -> Tensor:
        scores = torch.full((len(labels), self.num_classes), self.label_smoothing / self.num_classes)
        scores = scores.to(labels.device)
        return scores.scatter_(1, labels[:, None], 1 - self.label_smoothing + self.label_smoothing / self.num_classes)

    def __repr__(self) -> str:
        return f"MixupCutmix(num_classes={self.num_classes}, label_smoothing={self.label_smoothing})"
