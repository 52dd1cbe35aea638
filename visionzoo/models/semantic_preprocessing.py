"""Preprocessing of samples for the models of mmseg."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

from torch import Tensor

with contextlib.redirect_stdout(io.StringIO()):  # libraries print on import; stdout is only for results
    from mmseg.models.data_preprocessor import SegDataPreProcessor
    from mmseg.utils import stack_batch

from visionzoo.registry import MODELS


@MODELS.register_module()
class SemanticPreprocessor(SegDataPreProcessor):
    """mmseg's preprocessor, which also takes test images of several sizes, and images without samples.

    Training images are padded to ``size``. Test images are padded to a multiple of ``test_cfg.size_divisor`` and to the
    largest image of the batch; both are filled in if the config leaves them out.

    Args:
        **settings: those of ``mmseg.SegDataPreProcessor``.

    Example:
        >>> import torch
        >>> preprocessor = SemanticPreprocessor(size_divisor=32, test_cfg=dict(size_divisor=32))
        >>> images = [torch.zeros(3, 40, 70), torch.zeros(3, 33, 65)]
        >>> preprocessor({"inputs": images})["inputs"].shape
        torch.Size([2, 3, 64, 96])
    """

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.pad_size_divisor = (self.test_cfg or {}).get("size_divisor") or 1

    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """Return ``inputs`` (N, 3, H, W) and ``data_samples``; test samples receive ``img_padding_size``."""
        if training:
            return super().forward(data, training)
        cast = self.cast_data(dict(data))  # type: ignore[arg-type]
        images: Any = [self._normalised(image) for image in cast["inputs"]]
        given = self.test_cfg or {"size_divisor": 1}
        inputs: Any
        inputs, paddings = stack_batch(
            images, size=given.get("size"), size_divisor=given.get("size_divisor"), pad_val=self.pad_val
        )
        samples = cast.get("data_samples")
        for sample, about in zip(samples or (), paddings):
            sample.set_metainfo(about)
        return {"inputs": inputs, "data_samples": samples}

    def _normalised(self, image: Tensor) -> Tensor:
        if self._channel_conversion and len(image) == 3:
            image = image[[2, 1, 0]]
        return (image.float() - self.mean) / self.std if self._enable_normalize else image.float()
