"""Mixup and CutMix: mix the images of a batch in pairs and create soft labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from visionzoo.allowed import Count, Part, Share, Weight
from visionzoo.registry import MODELS


@MODELS.register_module()
class MixupCutmix:
    """Mix image i of a batch with image i from the end, with timm's ``Mixup``.

    Mixup (Zhang et al., ICLR 2018) adds both images, weighted by ``lam`` from Beta(alpha, alpha). CutMix (Yun et al.,
    ICCV 2019) pastes a rectangle of one image into the other; ``lam`` is the share that is not replaced. One draw from
    NumPy's generator determines the whole batch. In a batch of odd size the last image is not mixed.

    Args:
        num_classes: length of the soft labels.
        mixup_alpha, cutmix_alpha: parameter of the Beta distribution, >= 0; 0 turns Mixup or CutMix off. If both are 0,
            only labels are smoothed.
        prob: probability of mixing a batch, in [0, 1].
        switch_prob: probability of CutMix instead of Mixup if both are on, in [0, 1].
        label_smoothing: share of each label that is spread over all classes before mixing, in [0, 1].

    Raises:
        ConfigError: a number out of its range.

    Example:
        >>> from visionzoo.structures.task_sample import TaskSample
        >>> samples = [TaskSample(), TaskSample()]
        >>> for label, sample in enumerate(samples):
        ...     sample.set_field(label, "gt_label")
        >>> smooth = MixupCutmix(num_classes=2, mixup_alpha=0, cutmix_alpha=0, label_smoothing=0.5)
        >>> images, samples = smooth(torch.zeros(2, 3, 4, 4), samples)
        >>> samples[0].gt_score.tolist()
        [0.75, 0.25]
    """

    def __init__(
        self,
        num_classes: Count,
        mixup_alpha: Weight = 0.8,
        cutmix_alpha: Weight = 1.0,
        prob: Share = 1.0,
        switch_prob: Share = 0.5,
        label_smoothing: Part = 0.1,
    ):
        from timm.data.mixup import Mixup

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
        """Mix images and labels.

        Args:
            inputs: (N, C, H, W) float images, which are not changed.
            samples: N data samples with ``gt_label``, one label each.

        Returns:
            Mixed images (N, C, H, W), and the samples, each with ``gt_score``, (num_classes,) float32 of sum 1.
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
