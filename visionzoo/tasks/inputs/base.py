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
    """One input that is not read yet.

    Attributes:
        name: name in the results: the path as given, ``clip.mp4#000012`` or ``input 3``.
        value: a path, an image in memory, any other value that the kind of inputs reads, or the error that replaces it.
        place: path of its results relative to the output folder. It keeps the structure of the input folder.
        frame: the frame of the video, for an image that comes from a video; else None.
        columns: columns of ``predictions.csv`` and ``predictions.jsonl`` that identify the input, besides ``input``.
        options: keyword arguments for reading it, as the kind of inputs defines them, such as ``max_pixels``.

    Example:
        >>> Source("images/a/b.jpg", Path("images/a/b.jpg"), place=Path("a/b.jpg")).place.as_posix()
        'a/b.jpg'
    """

    name: str
    value: Any
    place: Path
    frame: Frame | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def without_pixels(self) -> Source:
        """Return a frame of a video without its pixels, so that stored results do not keep them in memory."""
        return self if self.frame is None else replace(self, value=None)


class Input:
    """A kind of inputs: it converts what the user gives to what the pipeline starts with.

    Attributes:
        noun: name of one input in messages, with its article.
        nouns: name of several inputs in messages.
        usage: inputs as a command line names them, for a command to paste.
        provides: keys of a sample that :meth:`start` fills. Transforms of the pipeline that provide them are skipped.
        are_grouped: True if the model takes all inputs of a group together, see :meth:`group_of`.
        has_samples: True if the model needs the data samples also for its raw outputs, for example for a phrase.
            :meth:`seeded` then returns ``data_samples``.
    """

    noun: ClassVar[str] = "an input"
    nouns: ClassVar[str] = "inputs"
    usage: ClassVar[str] = "INPUTS"
    provides: ClassVar[tuple[str, ...]] = ("img",)
    are_grouped: ClassVar[bool] = False
    has_samples: ClassVar[bool] = False

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments and options that name inputs to the parser of ``visionzoo infer``."""
        raise TypeError(f"{type(self).__name__}.add_options is not defined")

    def sources(self, args: argparse.Namespace) -> Iterator[Source]:
        """Return the inputs that a command line names.

        Raises:
            InputError: an input is missing. The call raises it, before the first input is read.
        """
        raise TypeError(f"{type(self).__name__}.sources is not defined")

    def count(self, args: argparse.Namespace) -> int | None:
        """Return the approximate number of inputs that a command line names; None if only reading them shows it."""
        return None

    def settings(self, args: argparse.Namespace) -> dict[str, Any]:
        """Return the options of a command line that change results, for :meth:`sources` aside; a run keeps them."""
        return {}

    def changes(self, args: argparse.Namespace, model: Mapping[str, Any]) -> list[str]:
        """Return changes of the config, ``path=value``, by which a model without weights fits the inputs.

        Args:
            args: the command line.
            model: the ``model`` of the config.
        """
        return []

    def unused(self, args: argparse.Namespace, model: Any) -> str:
        """Return which given inputs the model does not use, as a sentence; empty if it uses all of them."""
        return ""

    def left_out(self, args: argparse.Namespace) -> str:
        """Return which files of the folders that a command line names are not read, as text; empty if all are read."""
        return ""

    def sources_of(self, inputs: Any, *, recursive: bool = False, **options: Any) -> Iterator[Source]:
        """Return the sources of what a Python user gives: paths, arrays, lists of them, or sources.

        Args:
            inputs: what the user gives.
            recursive: True to search subfolders too.
            options: options of this kind of inputs, which a subclass declares by name, such as ``max_pixels``.
        """
        raise TypeError(f"{type(self).__name__}.sources_of is not defined")

    def recorded(self, record: Mapping[str, Any]) -> list[Source]:
        """Return the sources of a record of a data set, one for each image of a group; empty if it has none to read.

        Args:
            record: values of a sample before the pipeline, such as ``img_path``.
        """
        return []

    def completed(self, sample: Any, value: Any) -> Any:
        """Return a tested sample with what :meth:`Task.read` needs of its input.

        Args:
            sample: sample with the model's predictions.
            value: the input as read.
        """
        return sample

    def group_of(self, source: Source) -> str:
        """Return the name of the input's group, for kinds whose inputs are grouped."""
        return source.name

    def whole_of(self, source: Source) -> Hashable | None:
        """Return the key of what one process takes as a whole, such as a video or a group; None for a single input.

        Consecutive inputs with equal keys stay together if several processes share the inputs. For kinds whose inputs
        are grouped, all inputs of a group do.
        """
        if self.are_grouped:
            return self.group_of(source)
        return None if source.frame is None else id(source.frame.video)

    def read(self, source: Source) -> Any:
        """Return the input in memory.

        Raises:
            DataError, InputError: the input cannot be read.
        """
        raise TypeError(f"{type(self).__name__}.read is not defined")

    def unread_parts(self, source: Source) -> str:
        """Return which parts of a read input are not used, such as the frames after the first; empty if all are."""
        return ""

    def size(self, value: Any) -> tuple[int, ...]:
        """Return the size of an input that was read; (width, height) in pixels for an image."""
        raise TypeError(f"{type(self).__name__}.size is not defined")

    def image(self, value: Any) -> np.ndarray:
        """Return the image that results are drawn on, (H, W, 3) uint8 RGB."""
        raise TypeError(f"{type(self).__name__}.image is not defined")

    def start(self, sources: Sequence[Source], values: Sequence[Any], *, order: str, keep: bool) -> dict[str, Any]:
        """Return the dict that the pipeline starts with instead of its loaders.

        Args:
            sources: one input, or all inputs of a group.
            values: the inputs as read.
            order: order of the colour channels that the pipeline's loader returns, ``rgb`` or ``bgr``.
            keep: True if the pixels of ``values`` must not change. Transforms may change the pixels in the dict.
        """
        raise TypeError(f"{type(self).__name__}.start is not defined")

    def batch_key(self, sample: Mapping[str, Any], divisor: int) -> Hashable:
        """Return the batch key of a packed sample. Samples with equal keys share a batch.

        Args:
            sample: result of the pipeline.
            divisor: the model pads height and width to multiples of it.
        """
        return tuple(sample["inputs"].shape)

    def shared_key(self, sample: Mapping[str, Any]) -> Hashable | None:
        """Return the key of what a packed sample shares with others, such as the image of several phrases.

        Samples with equal keys count once in the size of a batch. None: the sample shares nothing.
        """
        return None

    def seeded(self, seed: int, size: Sequence[int]) -> dict[str, Any]:
        """Return a batch of two inputs for the preprocessor, for a card's forward check.

        Args:
            seed: seed for :func:`visionzoo.structures.seeded.seeded_array`.
            size: size that the card's check states, (H, W) for images.

        Returns:
            Dict with ``inputs``, and with ``data_samples`` if ``has_samples`` is set.
        """
        raise TypeError(f"{type(self).__name__}.seeded is not defined")
