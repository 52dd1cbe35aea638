"""Form of models that register a moving image to a fixed one.

Tensors: n spatial axes, S sides in voxels. The batch is one pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from visionzoo.errors import ConfigError
from visionzoo.graphs.form import GraphInput, NotExportable, require_exportable
from visionzoo.layers.velocity import warped
from visionzoo.structures.batch import Batch, Pair
from visionzoo.structures.seeded import seeded_array


@dataclass(frozen=True)
class _PairBatch(Batch):
    """A batch of pairs as channels, without samples."""

    def pairs(self) -> Pair:
        return Pair(*self.inputs.chunk(2, 1))


class PairForm(nn.Module):
    """Form of a registration model, for images of one size.

    Inputs are ``fixed`` and ``moving``, (1, 1, *S) float32 on one grid, as the test pipeline prepares them, padded with
    the preprocessor's value at the end of each axis. Outputs are ``field`` and ``inverse_field``, (1, n, *S) in voxels,
    and ``warped``, (1, 1, *S).

    Args:
        model: a ``TaskModel`` whose head has ``fields``.

    Attributes:
        divisor, multiple: padding divisor of the preprocessor, of which the sides are multiples.
    """

    input_names = ("fixed", "moving")
    names = ("field", "inverse_field", "warped")
    pair = mean = std = None
    is_dynamic = False

    def __init__(self, model: nn.Module):
        super().__init__()
        whole: Any = model
        self.model = model
        self.settings: dict[str, Any] = {}
        self.divisor = self.multiple = int(whole.data_preprocessor.pad_size_divisor)
        self.pad_value = float(whole.data_preprocessor.pad_value)
        self.axes = int(whole.head.dims)

    def forward(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs in the order of :attr:`names`."""
        model: Any = self.model
        batch = _PairBatch(torch.cat([fixed, moving], 1))
        found = model.head.fields(model.backbone(batch.inputs, batch), batch)
        return found.forward, found.inverse, warped(moving, found.forward)

    def inputs(self, size: Sequence[int] | None = None) -> tuple[GraphInput, ...]:
        """Return the inputs for images of a size."""
        shape = (1, 1, *self.required_size(size))
        return tuple(GraphInput(name, shape, "float32", {}) for name in self.input_names)

    def required_size(self, size: Sequence[int] | None) -> tuple[int, ...]:
        """Return the size that a user gives.

        Raises:
            ConfigError: none is given, or one that does not fit.
        """
        example = " ".join([str(self.divisor * -(-32 // self.divisor))] * self.axes)
        wrong = size is None or len(size) != self.axes or min(size) < 1 or any(side % self.divisor for side in size)
        if size is None or wrong:
            raise ConfigError(
                "--size",
                expected=f"{self.axes} sides, multiples of {self.divisor}, because a file of pairs has one size",
                found="none" if size is None else " ".join(map(str, size)),
                advice=f"use the padded size of your images, such as --size {example}",
            )
        return tuple(size)

    def seeded(self, size: Sequence[int], seed: int = 0) -> dict[str, np.ndarray]:
        """Return a seeded pair in [0, 1]; the moving image is similar to the fixed one."""
        coarse = [
            seeded_array(seed, f"export {name}", tuple(side // 4 + 1 for side in size)) for name in self.input_names
        ]
        both = (coarse[0], coarse[0] + 0.25 * coarse[1])
        fine = [np.kron(each, np.ones([4] * len(size)))[tuple(map(slice, size))] for each in both]
        pair = [np.clip(0.5 + 0.2 * each, 0, 1).astype(np.float32)[None, None] for each in fine]
        return dict(zip(self.input_names, pair, strict=True))


def pair_form(model: nn.Module) -> PairForm:
    """Return the form of a registration model.

    Raises:
        NotExportable: a part cannot be exported, the model normalises images, or it has a neck or another head.
    """
    require_exportable(model)
    whole: Any = model
    if not hasattr(getattr(whole, "head", None), "fields"):
        raise NotExportable(f"model ({type(model).__name__}): the exporter has a form for one head with fields only")
    if getattr(whole, "neck", None) is not None or whole.data_preprocessor.mean is not None:
        raise NotExportable("model: the exporter has a form for registration without a neck and without mean and std")
    return PairForm(model)
