"""The contract of a kind of inputs."""

from __future__ import annotations

import argparse
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from visionzoo.tasks.inputs.videos import Frame


@dataclass(frozen=True)
class Source:
    """One input to come.

    Attributes:
        name: name in the results: the path as given, ``clip.mp4#000012`` or ``input 3``.
        value: a path, an image in memory, any other value that the kind of inputs reads, or the error that replaces it.
        place: where its results lie below the output folder, with the structure of the folder it came from.
        frame: of an image from a video, which one it is.
        columns: columns of ``predictions.csv`` and ``predictions.jsonl`` beside ``input`` that name the input.
    """

    name: str
    value: Any
    place: Path
    frame: Frame | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    def without_pixels(self) -> Source:
        """The same for a frame whose pixels are no longer needed, so that results that are kept do not hold them."""
        return self if self.frame is None else replace(self, value=None)


class Input:
    """A kind of inputs: from what the user gives to what the pipeline starts with.

    Attributes:
        noun: name of one input in messages, with its article.
        provides: keys of a sample that :meth:`start` fills. The pipeline's transforms that provide them are left out.
        are_grouped: the model looks at all inputs of a group together, see :meth:`group_of`.
        has_samples: the model needs the data samples also for its raw outputs, as for a phrase. :meth:`seeded` then
            gives ``data_samples``.
    """

    noun: ClassVar[str] = "an input"
    provides: ClassVar[tuple[str, ...]] = ("img",)
    are_grouped: ClassVar[bool] = False
    has_samples: ClassVar[bool] = False

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments and options that name inputs to the parser of ``visionzoo infer``."""
        raise TypeError(f"{type(self).__name__}.add_options is not defined")

    def sources(self, args: argparse.Namespace) -> Iterator[Source]:
        """Return the inputs that a command line names.

        Raises:
            InputError: at once, when an input is missing.
        """
        raise TypeError(f"{type(self).__name__}.sources is not defined")

    def count(self, args: argparse.Namespace) -> int | None:
        """Return about how many inputs a command line names; None when only reading them shows it."""
        return None

    def sources_of(self, inputs: Any, *, recursive: bool = False) -> Iterator[Source]:
        """Return the inputs that a Python user gives: paths, arrays, lists of them, sources."""
        raise TypeError(f"{type(self).__name__}.sources_of is not defined")

    def group_of(self, source: Source) -> str:
        """Return the name of the group of an input, for kinds whose inputs are grouped."""
        return source.name

    def read(self, source: Source) -> Any:
        """Return the input in memory.

        Raises:
            DataError, InputError: the input cannot be read.
        """
        raise TypeError(f"{type(self).__name__}.read is not defined")

    def size(self, value: Any) -> tuple[int, ...]:
        """Return the size of an input that was read; (width, height) in pixels of an image."""
        raise TypeError(f"{type(self).__name__}.size is not defined")

    def image(self, value: Any) -> np.ndarray:
        """Return the image that results are drawn on, (H, W, 3) uint8 RGB."""
        raise TypeError(f"{type(self).__name__}.image is not defined")

    def start(self, sources: Sequence[Source], values: Sequence[Any], *, order: str, keep: bool) -> dict[str, Any]:
        """Return the dict that the pipeline starts with in place of its loaders.

        Args:
            sources: one input, or all inputs of a group.
            values: the inputs as read.
            order: of the colour channels that the pipeline's loader gives, ``rgb`` or ``bgr``.
            keep: the pixels of ``values`` must stay as they are; transforms may change the pixels in the dict.
        """
        raise TypeError(f"{type(self).__name__}.start is not defined")

    def batch_key(self, sample: Mapping[str, Any], divisor: int) -> Hashable:
        """Return the key of a packed sample; samples with equal keys share a batch.

        Args:
            sample: what the pipeline packed.
            divisor: the model pads sizes to its multiples.
        """
        return tuple(sample["inputs"].shape)

    def seeded(self, seed: int, size: Sequence[int]) -> dict[str, Any]:
        """Return a batch of two inputs as the preprocessor takes it, for a card's forward check.

        Args:
            seed: of :func:`visionzoo.structures.seeded.seeded_array`.
            size: of the card's check, (H, W) for images.

        Returns:
            ``inputs``, and ``data_samples`` where ``has_samples`` is set.
        """
        raise TypeError(f"{type(self).__name__}.seeded is not defined")
