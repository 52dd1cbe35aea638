"""One stream of inputs from files, folders, globs, ``@list.txt``, ``-``, videos and images in memory.

Folders and globs are sorted by name, so numbered images are in order only if their numbers have leading zeros. A
pattern such as ``frames/%d.jpg`` always sorts by number. A video becomes one input for each of its frames.
"""

from __future__ import annotations

import glob
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from visionzoo.datasets.shards import ENDING, expanded_braces, is_shard
from visionzoo.errors import DataError, InputError, as_utf8, nearest_name, on_one_line
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS
from visionzoo.tasks.inputs.base import Source
from visionzoo.tasks.inputs.folders import entries_of, files_in, left_out_of, names_in
from visionzoo.tasks.inputs.lists import Stream, names_of_file
from visionzoo.tasks.inputs.lists import names_in as names_of_stream
from visionzoo.tasks.inputs.shards import images_of_shard
from visionzoo.tasks.inputs.sorting import sorted_texts
from visionzoo.tasks.inputs.videos import VIDEO_SUFFIXES, frame_count, is_video, read_frames

_NUMBER = re.compile(r"%(?:0(\d+))?d")


def expand_inputs(
    inputs: Iterable[str | os.PathLike],
    *,
    recursive: bool = False,
    stdin: Stream | None = None,
    videos: bool = True,
    max_pixels: float | None = None,
) -> Iterator[Source]:
    """Return a source for each image that ``inputs`` name, in their order. Folders and globs are sorted by name.

    Args:
        inputs: files, shards, folders (images and videos by suffix, or shards), globs, braces, number patterns
            (``frames/%06d.jpg``), ``@FILE`` (a list of paths, see :mod:`visionzoo.tasks.inputs.lists`), ``-`` (a list
            on stdin). All of them are read lazily. A missing path in a list, an unreadable video and a damaged shard
            fail only their own source.
        recursive: True to search subfolders too.
        stdin: the stream that ``-`` reads, bytes or lines; ``sys.stdin`` by default.
        videos: False to search folders only for images. The source of a video that is named is then an error.
        max_pixels: largest number of pixels of an image, in ``Source.options``, and of a frame of a video. None for the
            limit of :func:`visionzoo.structures.image_size.most_pixels`.

    Raises:
        InputError: one of the inputs is missing or matches nothing. The call raises it, before anything is read.

    Example:
        >>> [source.place.name for source in expand_inputs(["-"], stdin=iter(["a.jpg", "# a comment", "b.jpg"]))]
        ['a.jpg', 'b.jpg']
    """
    streams = [_expand(os.fspath(item), recursive, stdin or sys.stdin, videos) for item in inputs]
    if not streams:
        raise InputError(
            expected="at least one input", found="none", advice="name files, folders, globs, @list.txt or -"
        )
    found = (source for stream in streams for file in stream for source in _images_of(file, videos, max_pixels))
    return found if max_pixels is None else (replace(each, options={"max_pixels": max_pixels}) for each in found)


def count_inputs(inputs: Iterable[str | os.PathLike], *, recursive: bool = False, videos: bool = True) -> int | None:
    """Return the approximate number of images; None if it is known only after reading stdin or a video."""
    given = [os.fspath(item) for item in inputs]
    if "-" in given or any(_is_pipe(item) for item in given):
        return None
    total = 0
    for item in given:
        for file in _named_files(item, recursive, videos):
            images = None if is_shard(file) else frame_count(file) if videos and is_video(file) else 1
            if images is None:
                return None
            total += images
    return total


def _named_files(item: str, recursive: bool, videos: bool) -> Iterator[Any]:
    """Yield the files that an input names, in any order."""
    folder = Path(os.path.expanduser(item))
    if os.path.isdir(folder) and any(names_in(folder, recursive, _suffixes(videos))):
        return (folder / name if is_video(name) else name for name in names_in(folder, recursive, _suffixes(videos)))
    return (file.value for file in _expand(item, recursive, sys.stdin, videos))


def left_out(inputs: Iterable[str | os.PathLike], *, recursive: bool = False, videos: bool = True) -> str:
    """Return which files of the given folders are not read, such as ``2 files (.heic, .txt)``; empty if all are read.

    Args:
        inputs, recursive, videos: see :func:`expand_inputs`.

    Raises:
        InputError: a folder cannot be read.
    """
    folders = [folder for item in inputs for folder in _folders_of(os.fspath(item))]
    suffixes = _suffixes(videos)
    shards = [folder for folder in folders if not any(names_in(folder, recursive, suffixes))]
    parts = [left_out_of([each for each in folders if each not in shards], recursive, suffixes)]
    return ", ".join(filter(None, [*parts, left_out_of(shards, recursive, frozenset([ENDING]))]))


def _folders_of(item: str) -> list[Path]:
    """Return the folders whose files an input stands for."""
    path = os.path.expanduser(item)
    if os.path.isdir(path):
        return [Path(path)]
    if os.path.exists(path) or not glob.has_magic(path):
        return []
    matches = [Path(match) for match in sorted(glob.glob(path, recursive=True))]
    return [] if any(map(Path.is_file, matches)) else [match for match in matches if match.is_dir()]


def _is_pipe(item: str) -> bool:
    """Return True for the list of a shell's ``@<(find ...)``, which can be read only once."""
    return item.startswith("@") and os.path.exists(item[1:]) and not os.path.isfile(item[1:])


def _images_of(file: Source, videos: bool, max_pixels: float | None) -> Iterator[Source]:
    """Yield the file itself, the frames of a video or the images of a shard.

    An error replaces the value of what cannot be read.
    """
    if is_shard(file.value):
        yield from images_of_shard(file, _suffixes(videos=False))
    elif not is_video(file.value):
        yield file
    elif videos:
        try:
            for frame, image in read_frames(file.value, file.name, file.place, max_pixels):
                yield Source(frame.name, image, frame.place, frame)
        except DataError as error:
            yield replace(file, value=error)
    else:
        yield replace(file, value=_no_video(file.name))


def _no_video(name: str) -> InputError:
    return InputError(
        name,
        expected="an image, because the model processes all images of a folder together",
        found="a video",
        advice="save its frames in a folder",
    )


def _expand(item: str, recursive: bool, stdin: Stream, videos: bool) -> Iterator[Source]:
    """Return the image and video files that ``item`` names."""
    suffixes = _suffixes(videos)
    if item == "-":
        return _from_names(names_of_stream(stdin, "-"), Path())
    if item.startswith("@") and not os.path.exists(item):
        return _from_names(names_of_file(item[1:]), Path(item[1:]).parent)
    if "://" in item:
        raise InputError(
            item, expected="a file, folder, glob, @list.txt or -", found="an address", advice="download it first"
        )
    path = Path(os.path.expanduser(item))
    if os.path.isdir(path):
        return _from_folder(path, recursive, suffixes)
    if os.path.exists(path):
        return iter([_source(item, path, Path(path.name))])
    if len(names := expanded_braces(item)) > 1:
        return chain.from_iterable([_expand(name, recursive, stdin, videos) for name in names])
    if _NUMBER.search(path.name):
        return _from_sequence(path)
    if glob.has_magic(item):
        return _from_glob(item, recursive, suffixes)
    raise InputError(item, expected="an image", found="no such file", advice=f"{_nearest(path)}")


def _suffixes(videos: bool) -> frozenset[str]:
    return frozenset(ANY_IMAGE_ENDINGS) | (VIDEO_SUFFIXES if videos else frozenset())


def _nearest(path: Path) -> str:
    folder = path.parent
    if not os.path.isdir(folder):
        return f"check the path; there is no folder {folder} either"
    try:
        nearest = nearest_name(path.name, os.listdir(folder))
    except OSError:  # a folder whose names may not be read
        nearest = None
    return f"did you mean {folder / nearest}?" if nearest else "check the path"


def _from_folder(folder: Path, recursive: bool, suffixes: frozenset[str]) -> Iterator[Source]:
    paths = files_in(folder, recursive, suffixes)
    first = next(paths, None)
    if first is None:  # a folder of shards; beside images, a tar file usually has the same images again
        paths = files_in(folder, recursive, frozenset([ENDING]))
        first = next(paths, None)
    if first is None:
        raise InputError(folder, expected="images", found=f"none{_what_is_there(folder, recursive, suffixes)}")
    return (_source(str(path), path, path.relative_to(folder)) for path in chain([first], paths))


def _what_is_there(folder: Path, recursive: bool, suffixes: frozenset[str]) -> str:
    if not recursive and any(names_in(folder, True, suffixes)):
        return "; its subfolders hold some: add -r"
    others = left_out_of([folder], recursive, suffixes)
    among = f" among {others}" if others else ""
    return f"{among}; name files with suffix .jpg, .png, ..."


def _from_sequence(pattern: Path) -> Iterator[Source]:
    """Return the images of a pattern such as ``frames/%06d.jpg``, sorted by number. Numbers may have gaps."""
    number = _NUMBER.search(pattern.name)
    if number is None or not pattern.parent.is_dir():
        raise InputError(
            pattern, expected="images with numbers", found=f"no folder {pattern.parent}", advice="check the path"
        )
    before, after = re.escape(pattern.name[: number.start()]), re.escape(pattern.name[number.end() :])
    digits = rf"\d{{{number[1]},}}" if number[1] else r"\d+"
    name = re.compile(f"{before}({digits}){after}")
    matches = (match for each in entries_of(pattern.parent) if (match := name.fullmatch(each.name)))
    paths = sorted_texts(f"{len(f'{int(match[1])}'):03}{int(match[1])}\0{match[0]}" for match in matches)
    first = next(paths, None)
    if first is None:
        raise InputError(
            pattern,
            expected="images with numbers",
            found=f"none in {pattern.parent}",
            advice="use %d for any number, %06d for numbers of at least six digits",
        )
    names = (text.partition("\0")[2] for text in chain([first], paths))
    return (_source(str(pattern.parent / each), pattern.parent / each, Path(each)) for each in names)


def _from_glob(pattern: str, recursive: bool, suffixes: frozenset[str]) -> Iterator[Source]:
    matches = partial(glob.iglob, os.path.expanduser(pattern), recursive=True)
    if any(map(os.path.isfile, matches())):
        found = (Path(path) for path in sorted_texts(matches()) if os.path.isfile(path))
    else:
        folders = sorted_texts(path for path in matches() if os.path.isdir(path))
        found = (path for folder in folders for path in files_in(Path(folder), recursive, suffixes))
    first = next(found, None)
    if first is None:
        where = "" if _fixed_part(pattern).is_dir() else f"; there is no folder {_fixed_part(pattern)}"
        raise InputError(
            pattern, expected="images", but=f"the glob matches none{where}", advice="check the pattern and quote it"
        )
    root = _fixed_part(pattern)
    return (_source(str(path), path, _below(path, root)) for path in chain([first], found))


def _first_magic(pattern: str) -> int:
    return min(at for at in (pattern.find(letter) for letter in "*?[") if at >= 0)


def _fixed_part(pattern: str) -> Path:
    """Return the folder before the first wildcard."""
    return Path(os.path.dirname(os.path.expanduser(pattern)[: _first_magic(os.path.expanduser(pattern))]))


def _below(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else Path(path.name)


def _from_names(names: Iterator[str], folder: Path) -> Iterator[Source]:
    """Yield one source per name of a list. Paths are relative to the working folder, else to the folder of the list."""
    for name in names:
        path = Path(os.path.expanduser(name))
        if not os.path.exists(path) and os.path.exists(folder / path):
            path = folder / path
        yield _source(name, path, Path(path.name) if path.is_absolute() else _without_parents(Path(name)))


def _source(name: str, path: Path, place: Path) -> Source:
    """Return a source whose name and place can be written as UTF-8; see :func:`visionzoo.errors.as_utf8`."""
    return Source(as_utf8(name), path, Path(as_utf8(str(place))))


def _without_parents(path: Path) -> Path:
    """Return ``a/b.jpg`` for ``../a/b.jpg``, so that results are never written outside the output folder."""
    return Path(*(part for part in path.parts if part not in ("..", ".", "/", "~"))) if path.parts else Path("input")


# --- Python ---


def sources_of(
    inputs: Any, *, recursive: bool = False, videos: bool = True, max_pixels: float | None = None
) -> Iterator[Source]:
    """Yield sources as :func:`expand_inputs` does, also for arrays, tensors, PIL images and mixed lists.

    Example:
        >>> [source.name for source in sources_of([b"bytes of a file", b"bytes of another file"])]
        ['input 0', 'input 1']
    """
    if not _is_many(inputs):
        inputs = [inputs]
    for number, item in enumerate(inputs):
        if isinstance(item, str | os.PathLike):
            _warn_of_left_out(item, recursive, videos)
            yield from expand_inputs([item], recursive=recursive, videos=videos, max_pixels=max_pixels)
        elif isinstance(item, Source):
            yield item
        else:
            options = {} if max_pixels is None else {"max_pixels": max_pixels}
            yield Source(f"input {number}", item, Path(f"input_{number:06d}.png"), options=options)


def _warn_of_left_out(item: str | os.PathLike, recursive: bool, videos: bool) -> None:
    others = left_out([item], recursive=recursive, videos=videos)
    if others:
        print_log(on_one_line(f"{item}: {others} left out"), "current", logging.WARNING)


def _is_many(inputs: Any) -> bool:
    """Return True for a list or generator; False for a path, array, tensor, PIL image or bytes, which are one input."""
    return isinstance(inputs, Iterable) and not hasattr(inputs, "shape") and not isinstance(inputs, bytes | str)
