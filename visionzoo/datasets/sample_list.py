"""Data set of samples that are known at construction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

from mmengine.dataset import BaseDataset

from visionzoo.datasets.every_nth import Key, chosen, keys_of


class LoadingOptions(TypedDict, total=False):
    """Arguments that all data sets pass to :class:`SampleList`."""

    max_samples: int | None
    pipeline: Sequence[dict | Callable]
    test_mode: bool
    serialize_data: bool
    max_refetch: int
    every: int | None
    not_every: int | None


class SampleList(BaseDataset):
    """Samples as dicts; the pipeline loads a sample on access.

    Args:
        root: folder of the data.
        samples: the samples.
        max_samples: number of samples; the first ones are kept. Default: all.
        pipeline: transforms, applied to each sample in order.
        test_mode: raise an error for an unusable sample instead of replacing it by another one.
        serialize_data: keep samples as one byte buffer that workers share.
        max_refetch: number of other samples to try if the pipeline returns None.
        every: N keeps every N-th sample by name, for validation. Default: all samples.
        not_every: N keeps the other samples, for training. See :func:`~visionzoo.datasets.every_nth.chosen`.

    Example:
        >>> samples = [{"img_path": "a.png"}, {"img_path": "b.png"}]
        >>> dataset = SampleList(Path("."), samples, max_samples=1, serialize_data=False)
        >>> len(dataset), dataset[0]["img_path"]
        (1, 'a.png')
    """

    def __init__(
        self,
        root: Path,
        samples: list[dict[str, Any]],
        *,
        max_samples: int | None = None,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        serialize_data: bool = True,
        max_refetch: int = 1000,
        every: int | None = None,
        not_every: int | None = None,
    ):
        is_divided = every is not None or not_every is not None
        self._samples = chosen(samples, self.keys_of(samples), root, every, not_every) if is_divided else samples
        super().__init__(
            data_root=str(root),
            indices=max_samples,
            pipeline=list(pipeline),
            test_mode=test_mode,
            serialize_data=serialize_data,
            max_refetch=max_refetch,
        )

    @staticmethod
    def keys_of(samples: Sequence[dict[str, Any]]) -> list[Key]:
        """Return stratum and name of each sample, by which ``every`` and ``not_every`` divide them."""
        return keys_of([sample["img_path"] for sample in samples])

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the samples, without keeping a second copy of them."""
        samples, self._samples = self._samples, []
        return samples
