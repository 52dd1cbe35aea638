"""Videos as streams of frames. Only one frame is in memory at a time, and errors name the file.

OpenCV decodes the video. It rotates frames as the container states, skips damaged frames where it can, and scales
frames of a different size to the size of the first frame.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from visionzoo.errors import DataError
from visionzoo.structures.image_size import require_pixels

VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"))

_SIDES = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)

# The frame count of a container is sometimes an estimate. A file with a smaller share of it counts as truncated.
_WHOLE = 0.95
_MOST_PLAUSIBLE_FPS = 1000.0


@dataclass(frozen=True, eq=False)
class Video:
    """A video that is being read.

    Attributes:
        name: the path as given.
        place: path of its results relative to the output folder, with the suffix of the video.
        fps: frames per second; None if the container does not state it.
        frames: number of frames that the container states, possibly an estimate; None if it states none.
    """

    name: str
    place: Path
    fps: float | None
    frames: int | None


@dataclass(frozen=True)
class Frame:
    """Position of one image in a video.

    Attributes:
        video: the video.
        number: index of the frame, 0 for the first one.
        seconds: time since the start of the video; None if it is not known.

    Example:
        >>> frame = Frame(Video("clip.mp4", Path("clip.mp4"), fps=25.0, frames=50), number=12, seconds=0.48)
        >>> frame.name, frame.place.as_posix()
        ('clip.mp4#000012', 'clip/000012.jpg')
    """

    video: Video
    number: int
    seconds: float | None

    @property
    def name(self) -> str:
        """Name in the results, such as ``clip.mp4#000012``."""
        return f"{self.video.name}#{self.number:06d}"

    @property
    def place(self) -> Path:
        """Path of its results relative to the output folder, such as ``clip/000012.jpg``."""
        return self.video.place.with_suffix("") / f"{self.number:06d}.jpg"


def is_video(path: str | os.PathLike) -> bool:
    """Return True if the path has the suffix of a video.

    Example:
        >>> is_video("clip.MP4"), is_video("frame.jpg")
        (True, False)
    """
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def frame_count(path: Path) -> int | None:
    """Return the number of frames that the container states; None if it states none or cannot be read."""
    capture = cv2.VideoCapture(str(path))
    try:
        return _stated_frames(capture)
    finally:
        capture.release()


def read_frames(
    path: Path, name: str, place: Path, max_pixels: float | None = None
) -> Iterator[tuple[Frame, np.ndarray]]:
    """Yield the frames of a video with their images, (H, W, 3) uint8 RGB. Frames are decoded lazily.

    Args:
        path: the file.
        name, place: attributes of the :class:`Video`.
        max_pixels: largest number of pixels of a frame; None for the limit of
            :func:`visionzoo.structures.image_size.most_pixels`.

    Raises:
        DataError: the file is missing, empty, not a video or without frames, or its frames have too many pixels. Also
            raised after the last decoded frame, if the file ends long before its stated end.
    """
    _require_file(path, name)
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise DataError(
                name,
                expected="a video (MP4, AVI, MOV, MKV, WebM)",
                found=f"{path.stat().st_size} bytes that cannot be opened as one",
                advice="copy or convert it again",
            )
        require_pixels([int(capture.get(side)) for side in _SIDES], name, max_pixels)
        yield from _decoded(capture, Video(name, place, _stated_fps(capture), _stated_frames(capture)))
    finally:
        capture.release()


def _require_file(path: Path, name: str) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(name, expected="a video", but=f"{error.strerror}", advice="check the path") from error
    if size == 0:
        raise DataError(name, expected="a video", found="an empty file", advice="copy or download it again")


def _decoded(capture: cv2.VideoCapture, video: Video) -> Iterator[tuple[Frame, np.ndarray]]:
    number, seconds = 0, None
    while True:
        is_frame, image = capture.read()
        if not is_frame:
            break
        seconds = _seconds(capture, video, number)
        yield Frame(video, number, seconds), cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        number += 1
    if number == 0:
        raise DataError(
            video.name, expected="a video", found="no frame that can be decoded", advice="copy or convert it again"
        )
    if _breaks_off(video, number, seconds):
        raise DataError(
            video.name,
            expected=f"{video.frames} frames as the file states",
            found=f"{number} before it breaks off",
            advice="the results of these frames are kept; copy or download the file again for the rest",
        )


def _breaks_off(video: Video, decoded: int, seconds: float | None) -> bool:
    """Return True if many frames and much time are missing. With a variable frame rate one of them is an estimate."""
    if video.frames is None or decoded >= _WHOLE * video.frames - 2:
        return False
    if video.fps is None or seconds is None:
        return True
    return seconds + 1 / video.fps < _WHOLE * video.frames / video.fps


def _seconds(capture: cv2.VideoCapture, video: Video, number: int) -> float | None:
    """Return the time stamp of the last frame that was read, else the time computed from its number."""
    stamp = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
    if math.isfinite(stamp) and (stamp > 0 or number == 0):
        return max(stamp, 0.0)
    return None if video.fps is None else number / video.fps


def _stated_fps(capture: cv2.VideoCapture) -> float | None:
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if math.isfinite(fps) and 0 < fps <= _MOST_PLAUSIBLE_FPS else None


def _stated_frames(capture: cv2.VideoCapture) -> int | None:
    """Return the stated number of frames. OpenCV returns 0, a negative or a huge number if it is unknown."""
    frames = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return int(frames) if math.isfinite(frames) and 0 < frames < 2**40 else None
