"""A data set whose samples are all known when it is built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

from mmengine.dataset import BaseDataset


class LoadingOptions(TypedDict, total=False):
    """Arguments that every data set passes on to :class:`SampleList`."""

    max_samples: int | None
    pipeline: Sequence[dict | Callable]
    test_mode: bool
    serialize_data: bool
    max_refetch: int


class SampleList(BaseDataset):
    """Samples as dicts, each of which the pipeline loads when it is asked for.

    Args:
        root: the folder of the data.
        samples: the samples.
        max_samples: the first N samples. Default: all.
        pipeline: transforms, called in turn on each sample.
        test_mode: an unusable sample is an error, not replaced by another.
        serialize_data: keep samples as one byte buffer that workers share.
        max_refetch: how many other samples are tried when the pipeline returns None.
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
    ):
        self._samples = samples
        super().__init__(
            data_root=str(root),
            indices=max_samples,
            pipeline=list(pipeline),
            test_mode=test_mode,
            serialize_data=serialize_data,
            max_refetch=max_refetch,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """The samples; this keeps no second copy of them."""
        samples, self._samples = self._samples, []
        return samples
