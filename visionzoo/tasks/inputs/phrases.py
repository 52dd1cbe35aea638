"""Images with phrases as inputs of a task. Each pair of an image and a phrase is one input."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from visionzoo.errors import DataError, InputError, ZooError, require_known
from visionzoo.structures.image_size import pixels_of
from visionzoo.tasks.inputs.base import Source
from visionzoo.tasks.inputs.files import count_inputs, expand_inputs, left_out, sources_of
from visionzoo.tasks.inputs.images import ImageInput, read_source
from visionzoo.tasks.inputs.phrase_lists import is_list_of_phrases, read_phrase_list
from visionzoo.tasks.inputs.phrase_options import add_phrase_options
from visionzoo.tasks.inputs.videos import Video, read_frames

if TYPE_CHECKING:
    from visionzoo.datasets.referring.listed_objects import ListedObjects

_OPTIONS = ("text", "mask_threshold", "per_object", "proposals", "max_pixels")
# Phrases of the two images in a card's forward check.
_SEEDED = ("left red box", "the small disc on the right side")


class ImageAndPhrase(ImageInput):
    """Images and frames of videos, each with one or several phrases.

    The name of an input is the name of the image and the number of the phrase: ``a.jpg#2``. From Python, ``text`` is
    one phrase or a list of phrases for all images. A CSV file or lines of JSON list images, each with its phrases.

    Example:
        >>> inputs = ImageAndPhrase()
        >>> sources = list(inputs.sources_of(np.zeros((4, 6, 3), np.uint8), text=["left box", "the red one"]))
        >>> [source.name for source in sources], inputs.read(sources[1]).shape
        (['input 0#1', 'input 0#2'], (4, 6, 3))
    """

    noun = "an image with a phrase"
    nouns = "phrases"
    usage = 'IMAGES --text "left red box"'
    provides = ("img", "phrase")
    has_samples = True

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        add_phrase_options(parser)

    def sources(self, args: argparse.Namespace) -> Iterator[Source]:
        threshold = _threshold(args.mask_threshold, "--mask-threshold")
        options = {"mask_threshold": threshold, "per_object": args.per_object}
        options |= {"proposals": _proposals(args.proposals, "--proposals")}
        limit = None if args.max_pixels is None else pixels_of(args.max_pixels, "--max-pixels")
        texts = [_phrase(text, "--text") for text in args.text]
        images = [item for item in args.inputs if not is_list_of_phrases(item)]
        if images and not texts:
            raise InputError(
                " ".join(images), expected='--text "PHRASE" for these images', found="none", advice=_ADVICE
            )
        if texts and not images:
            raise InputError(
                "--text", expected="an image", found="only lists, which have phrases", advice="leave it out"
            )
        streams = []
        for item in args.inputs:
            if is_list_of_phrases(item):
                streams.append(_of_list(item, limit, options))
            else:
                found = expand_inputs([item], recursive=self._is_recursive(args.recursive), max_pixels=limit)
                streams.append(_of_images(found, texts, options))
        return chain.from_iterable(streams)

    def settings(self, args: argparse.Namespace) -> dict[str, Any]:
        """Return the phrases and the options that change results."""
        chosen = {"--text": args.text, "--mask-threshold": args.mask_threshold}
        chosen |= {} if args.proposals is None else {"--proposals": args.proposals}
        return chosen | ({"--per-object": True} if args.per_object else {})

    def unused(self, args: argparse.Namespace, model: Any) -> str:
        """Return a sentence if options are about proposals and no part of the model has them."""
        asked = ["--per-object"] * args.per_object + ["--save branches"] * ("branches" in args.save)
        asked += ["--proposals"] * (args.proposals is not None)
        parts = [] if model is None else model.modules()  # an exported model has none
        if not asked or any(getattr(part, "has_proposals", False) for part in parts):
            return ""
        verb = "change" if len(asked) > 1 else "changes"
        return f"{' and '.join(asked)} {verb} nothing: this model does not choose among objects; use one of WiCo"

    def count(self, args: argparse.Namespace) -> int | None:
        images = [item for item in args.inputs if not is_list_of_phrases(item)]
        listed = sum(len(read_phrase_list(item)) for item in args.inputs if is_list_of_phrases(item))
        count = count_inputs(images, recursive=args.recursive) if images else 0
        return None if count is None else listed + count * len(args.text)

    def left_out(self, args: argparse.Namespace) -> str:
        return left_out([item for item in args.inputs if not is_list_of_phrases(item)], recursive=args.recursive)

    def sources_of(
        self,
        inputs: Any,
        *,
        recursive: bool = False,
        max_pixels: float | None = None,
        text: str | Iterable[str] | None = None,
        mask_threshold: float | None = None,
        per_object: bool = False,
        proposals: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Iterator[Source]:
        for name in options:
            require_known(name, ("recursive", *_OPTIONS), "option of images with phrases")
        limit = None if max_pixels is None else pixels_of(max_pixels, "max_pixels")
        own: dict[str, Any] = {"mask_threshold": _threshold(mask_threshold, "mask_threshold")}
        own |= {"per_object": per_object, "proposals": _proposals(proposals, "proposals")}
        if is_list_of_phrases(inputs) and text is None:
            return _of_list(inputs, limit, own)
        texts = [_phrase(each, "text") for each in ([text] if isinstance(text, str) else text or ())]
        found = sources_of(inputs, recursive=recursive, max_pixels=limit)
        return _of_images(found, texts, own) if texts else _with_phrases(found)

    def whole_of(self, source: Source) -> Hashable | None:
        """Return the video or the image of a phrase: the phrases of an image share a batch."""
        return source.columns["image"] if source.frame is None else super().whole_of(source)

    def read(self, source: Source) -> np.ndarray:
        image = source.value
        return image.read() if isinstance(image, _SharedImage) else read_source(image)

    def start(self, sources: Sequence[Source], values: Sequence[Any], *, order: str, keep: bool) -> dict[str, Any]:
        """Return the start of the pipeline. Phrases of one image have the same ``shared_image``.

        ``objects`` are those of the option ``proposals``, which LoadProposals of the pipeline reads.
        """
        (source,) = sources
        about = {"phrase": source.options["text"], "shared_image": source.columns["image"]}
        about |= {name: source.options.get(name) for name in ("mask_threshold", "per_object")}
        start = super().start(sources, values, order=order, keep=keep)
        del start["img_id"]  # an id of a data set, for which LoadProposals reads a file of the config
        if (found := source.options.get("proposals")) is not None:
            about["objects"] = found.of(source.columns["image"])
        return {**start, **about}

    def shared_key(self, sample: Mapping[str, Any]) -> Hashable | None:
        """Return the image of a phrase."""
        return sample["data_samples"].metainfo.get("shared_image")

    def seeded(self, seed: int, size: Sequence[int]) -> dict[str, Any]:
        from visionzoo.structures.task_sample import TaskSample  # imports torch

        samples = [TaskSample(metainfo=dict(phrase=phrase)) for phrase in _SEEDED]
        return {**super().seeded(seed, size), "data_samples": samples}


_ADVICE = 'describe the object, such as "left red box"'


class _SharedImage:
    """An image that is decoded once for all its phrases, and released after the last one."""

    def __init__(self, source: Source, phrases: int):
        self._source, self._left = source, phrases
        self._image: np.ndarray | None = None

    def read(self) -> np.ndarray:
        image = self._image
        if image is None:
            image = read_source(self._source.value, **self._source.options)
        self._left -= 1
        self._image = image if self._left > 0 else None
        return image


def _phrase(text: Any, where: str) -> str:
    if not isinstance(text, str) or not text.strip():
        found = "an empty text" if isinstance(text, str) else f"a value of type {type(text).__name__}"
        raise InputError(where, expected="a phrase", found=found, advice=_ADVICE)
    return " ".join(text.split())


def _threshold(value: Any, where: str) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 < number <= 1:
        raise InputError(where, expected="a probability above 0, up to 1", found=f"{value}", advice="use 0.35")
    return number


def _proposals(path: str | os.PathLike[str] | None, where: str) -> ListedObjects | None:
    if path is None:
        return None
    from visionzoo.datasets.referring.listed_objects import ListedObjects  # imports torch

    try:
        return ListedObjects(path)
    except DataError as error:
        raise error.at(where, InputError) from error


# --- pairs ---


def _with_phrases(found: Iterable[Source]) -> Iterator[Source]:
    """Yield the sources of a command line, which have phrases; images without phrases are an error."""
    for source in found:
        if "text" not in source.options:
            raise InputError("text", expected="a phrase, or a list of phrases", found="none", advice=_ADVICE)
        yield source


def _of_images(found: Iterable[Source], texts: Sequence[str], options: Mapping[str, Any]) -> Iterator[Source]:
    """Yield the pairs of each image; of a video, all frames with the first phrase, then with the second one."""
    for video, frames in groupby(found, lambda source: None if source.frame is None else source.frame.video):
        if video is None:
            for source in frames:
                yield from _pairs(source, texts, options)
        else:
            yield from _pairs_of_frames(video, frames, texts, options)


def _pairs_of_frames(
    video: Video, frames: Iterable[Source], texts: Sequence[str], options: Mapping[str, Any]
) -> Iterator[Source]:
    for number, text in enumerate(texts, start=1):
        own = replace(video, place=_place(video.place, number, len(texts)))  # each phrase has a drawn video
        for source in frames if number == 1 else _frames_again(video):
            moved = source if source.frame is None else replace(source, frame=replace(source.frame, video=own))
            yield _pair(moved, source.value, number, text, options)


def _frames_again(video: Video) -> Iterator[Source]:
    try:
        for frame, image in read_frames(Path(video.name).expanduser(), video.name, video.place):
            yield Source(frame.name, image, frame.place, frame)
    except ZooError as error:
        yield Source(video.name, error, video.place)


def _pairs(source: Source, texts: Sequence[str], options: Mapping[str, Any], first: int = 1) -> Iterator[Source]:
    image = source.value if isinstance(source.value, ZooError) else _SharedImage(source, len(texts))
    for number, text in enumerate(texts, start=first):
        placed = replace(source, place=_place(source.place, number, first + len(texts) - 1))
        yield _pair(placed, image, number, text, options)


def _pair(source: Source, value: Any, number: int, text: str, options: Mapping[str, Any]) -> Source:
    columns = {"image": source.name, "text": text}
    return replace(
        source, name=f"{source.name}#{number}", value=value, columns=columns, options={**options, "text": text}
    )


def _place(place: Path, number: int, phrases: int) -> Path:
    return place if phrases == 1 else place.with_name(f"{place.stem}_{number}{place.suffix}")


def _of_list(path: Any, limit: float | None, options: Mapping[str, Any]) -> Iterator[Source]:
    """Return the pairs of a list, which is read and checked by the call."""
    return _of_entries(read_phrase_list(path), limit, options)


def _of_entries(entries: Sequence[Any], limit: float | None, options: Mapping[str, Any]) -> Iterator[Source]:
    counts: Counter[str] = Counter()
    for (image, is_wrong), group in groupby(entries, lambda each: (each.image, each.error is not None)):
        listed = list(group)
        texts, first = [each.text for each in listed], counts[image] + 1
        counts[image] += len(listed)
        if is_wrong:
            for number, each in enumerate(listed, start=first):
                yield _pair(Source(image, None, Path(Path(image).name)), each.error, number, each.text, options)
            continue
        try:
            found: Iterable[Source] = expand_inputs([image], max_pixels=limit)
        except InputError as error:
            found = [Source(image, error, Path(Path(image).name))]
        for source in found:
            yield from _pairs(source, texts, options, first)
