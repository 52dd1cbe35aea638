"""What an exported model takes and returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from visionzoo.errors import ConfigError
from visionzoo.layers.sample_sizes import inside_sizes
from visionzoo.structures.batch import Batch
from visionzoo.structures.seeded import seeded_image

Compute = Callable[[Sequence[Tensor], Batch, Tensor], Mapping[str, Tensor]]
Arrays = dict[str, np.ndarray]
Pair = Callable[..., tuple[Arrays, Arrays]]


class NotExportable(ConfigError):
    """A model that has no exported form; the message states the reason."""


@dataclass(frozen=True)
class GraphInput:
    """One input of an exported model.

    Attributes:
        name: name in the file.
        shape: sizes; a name for an axis of any size, such as ``batch``, or a number.
        dtype: ``uint8``, ``float32`` or ``int64``.
        multiples: by the name of an axis, the number that its size must be a multiple of.
    """

    name: str
    shape: tuple[str | int, ...]
    dtype: str
    multiples: Mapping[str, int]


@dataclass(frozen=True)
class HeadGraph:
    """What a head computes in a graph.

    Attributes:
        names: names of the outputs in order.
        compute: function from the feature maps, the batch of normalised images (B, 3, H, W), and the size of each
            image, (B, 2) int64, to the outputs by name.
        pair: function that puts the outputs of two runs in one order, if the order depends on rounding.
        settings: what turns the outputs into results, besides the outputs.
    """

    names: Sequence[str]
    compute: Compute
    pair: Pair | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class ImageForm(nn.Module):
    """Form of a model of images.

    Inputs are ``images``, (B, 3, H, W) uint8 RGB, as the test pipeline resizes them, and for a model that pads images
    ``sizes``, (B, 2) int64: height and width of each image without padding. Images are at the top left. H and W are
    multiples of :attr:`multiple`; the pixels of the padding have no effect, because the form replaces them as the
    model's preprocessor does.

    Args:
        model: a model with a preprocessor; a ``TaskModel`` or one with ``extract_feat``.
        graphs: what its heads compute, by name. The names of the outputs of several heads begin with the name of the
            head and a dot.

    Attributes:
        names: names of the outputs in order.
        settings: what turns the outputs into results, besides the outputs; by head if there are several.
        pair: function that puts the outputs of two runs in one order; None if no order depends on rounding.
        divisor: padding divisor of the preprocessor.
        multiple: H and W are multiples of it: of ``divisor``, and of what the test pipeline resizes to.
        fixed: reason why the form has one size; empty if H and W may change.

    Raises:
        NotExportable: the preprocessor changes images in another way.
    """

    is_dynamic = True  # the batch may have any size

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, model: nn.Module, graphs: Mapping[str, HeadGraph]):
        super().__init__()
        several = len(graphs) > 1
        self.graphs = {f"{name}." if several else "": graph for name, graph in graphs.items()}
        self.names = tuple(f"{prefix}{name}" for prefix, graph in self.graphs.items() for name in graph.names)
        self.settings: dict[str, Any] = {}
        for name, graph in graphs.items():
            self.settings |= {name: dict(graph.settings)} if several else graph.settings
        self.pair = self._paired if any(graph.pair for graph in graphs.values()) else None
        preprocessor: Any = model.data_preprocessor
        self.model = model
        self.divisor = int(getattr(preprocessor, "pad_size_divisor", 1) or 1)
        padding: Any = getattr(preprocessor, "pad_val", 0)  # mmseg's name
        self.multiple = self.divisor
        self.pad_value = float(getattr(preprocessor, "pad_value", padding))
        mean, std = getattr(preprocessor, "mean", None), getattr(preprocessor, "std", None)
        shape = (1, -1, 1, 1)
        self.register_buffer("mean", None if mean is None else mean.detach().clone().float().view(shape))
        self.register_buffer("std", None if std is None else std.detach().clone().float().view(shape))
        self.fixed = fixed_size(model)
        if getattr(preprocessor, "_channel_conversion", False):
            raise NotExportable("data_preprocessor", expected="RGB images", found="bgr_to_rgb=True", advice="use False")

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs: without padding, only ``images``."""
        return ("images", "sizes") if self.divisor > 1 else ("images",)

    def forward(self, images: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the outputs in the order of :attr:`names`."""
        pixels, sizes = self.normalised(images, sizes)
        return self.outputs(self.batch(pixels), sizes)

    def batch(self, pixels: Tensor) -> Batch:
        """Return the second argument of the heads for normalised images; its ``encode`` is the trunk."""
        model: Any = self.model
        if hasattr(model, "graph_batch"):
            return model.graph_batch(pixels)
        return Batch(pixels, encode=model.extract_feat)

    def outputs(self, batch: Batch, sizes: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of all heads on one pass of the trunk."""
        whole: Any = batch
        feats = whole.encode(batch.inputs)
        found: dict[str, Tensor] = {}
        for prefix, graph in self.graphs.items():
            own = graph.compute(feats, batch, sizes)
            found |= {f"{prefix}{name}": value for name, value in own.items()}
        return tuple(found[name] for name in self.names)

    def _paired(self, expected: Arrays, found: Arrays, **options: Any) -> tuple[Arrays, Arrays]:
        """Put the outputs of each head in one order."""
        first, second = dict(expected), dict(found)
        for prefix, graph in self.graphs.items():
            if graph.pair is not None:
                own = ({name: each[f"{prefix}{name}"] for name in graph.names} for each in (expected, found))
                for whole, part in zip((first, second), graph.pair(*own, **options), strict=True):
                    whole |= {f"{prefix}{name}": value for name, value in part.items()}
        return first, second

    def normalised(self, images: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the images, normalised and padded as by the preprocessor, and the size of each."""
        images = self._whole_multiples(images)
        pixels = images.float()
        if sizes is None:  # no padding: the sizes of all images are those of the batch
            ones = torch.ones_like(images[:, 0], dtype=torch.int64)
            sizes = torch.stack([ones[:, :, 0].sum(1), ones[:, 0].sum(1)], 1)
        if self.mean is not None and self.std is not None:
            pixels = (pixels - self.mean) / self.std
        if self.divisor > 1:
            pixels = torch.where(inside_sizes(images.shape[2:], sizes), pixels, self.pad_value)
        return pixels, sizes

    def _whole_multiples(self, images: Tensor) -> Tensor:
        """Return the images unchanged, with sides that a recorder reads as products.

        The sides of a recorded graph are symbols, of which the recorder does not use that they are multiples. Without
        this cut, which removes nothing, each convolution adds a rounding to the expressions of the sizes. Recording
        then takes minutes, because their length grows with the depth.
        """
        rows, columns = (side // self.multiple * self.multiple for side in images.shape[2:])
        return images[:, :, :rows, :columns]

    def inputs(self, size: Sequence[int] | None = None) -> tuple[GraphInput, ...]:
        """Return the inputs; ``size`` (H, W) replaces a free height and width."""
        height, width = ("height", "width") if size is None else size
        multiples = {} if size is not None or self.multiple == 1 else dict.fromkeys(("height", "width"), self.multiple)
        both = (
            GraphInput("images", ("batch", 3, height, width), "uint8", multiples),
            GraphInput("sizes", ("batch", 2), "int64", {}),
        )
        return both[: len(self.input_names)]

    def seeded(self, size: Sequence[int], seed: int = 0) -> Arrays:
        """Return two seeded images of ``size`` (H, W) as inputs; the second one is smaller if the model pads images."""
        height, width = size
        sizes = [(height, width), (height - 3, width - 5) if self.divisor > 8 else (height, width)]
        images = np.zeros((len(sizes), 3, height, width), np.uint8)
        for index, (rows, columns) in enumerate(sizes):
            images[index, :, :rows, :columns] = seeded_image(seed, f"export {index}", rows, columns).numpy()
        inputs: Arrays = {"images": images, "sizes": np.array(sizes, np.int64)}
        return {name: inputs[name] for name in self.input_names}


def fixed_size(model: nn.Module) -> str:
    """Return the reason of the first part of a model whose graph has one size; empty without such a part."""
    return next((text for part in model.modules() if (text := getattr(part, "FIXED_GRAPH_SIZE", ""))), "")


def require_exportable(model: nn.Module) -> None:
    """Raise an error with the reason of the first part of a model that cannot be exported.

    Raises:
        NotExportable: a part has the attribute ``not_exportable``.
    """
    for name, part in model.named_modules():
        if reason := getattr(part, "not_exportable", ""):
            raise NotExportable(f"{name or 'model'} ({type(part).__name__}): {reason}")
