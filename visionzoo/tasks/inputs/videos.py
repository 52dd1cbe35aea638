"""Videos as streams of frames: one frame in memory at a time, and errors that name the file.

OpenCV decodes. It turns frames as the container's rotation says, passes over damaged frames where it can, and scales
frames of another size to the first one's.
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

VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"))

# A container's count of frames is sometimes an estimate; so much less is taken for a file that was cut off.
_WHOLE = 0.95
_MOST_PLAUSIBLE_FPS = 1000.0


@dataclass(frozen=True, eq=False)
class Video:
    """A video that is being read.

    Attributes:
        name: the path as it was given.
        place: where its results lie below the output folder, with its own suffix.
        fps: frames per second; None when the container does not say.
        frames: frames as the container states, perhaps an estimate; None when it does not say.
    """

    name: str
    place: Path
    fps: float | None
    frames: int | None


@dataclass(frozen=True)
class Frame:
    """Which image of a video one is.

    Attributes:
        video: the video.
        number: 0 for the first frame.
        seconds: time from the video's start; None when it is not known.
    """

    video: Video
    number: int
    seconds: float | None

    @property
    def name(self) -> str:
        """``clip.mp4#000012``."""
        return f"{self.video.name}#{self.number:06d}"

    @property
    def place(self) -> Path:
        """``clip/000012.jpg``."""
        return self.video.place.with_suffix("") / f"{self.number:06d}.jpg"


def is_video(path: str | os.PathLike) -> bool:
    """Whether the suffix is a video's."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def frame_count(path: Path) -> int | None:
    """Frames as the container states; None when it does not say or cannot be read."""
    capture = cv2.VideoCapture(str(path))
    try:
        return _stated_frames(capture)
    finally:
        capture.release()


def read_frames(path: Path, name: str, place: Path) -> Iterator[tuple[Frame, np.ndarray]]:
    """The frames of a video with their images, (H, W, 3) uint8 RGB, each decoded when it is asked for.

    Args:
        path: the file.
        name, place: of the :class:`Video`.

    Raises:
        DataError: the file is missing, empty, no video or without frames; or, after the last frame that could be
            decoded, it breaks off long before its stated end.
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
        found, image = capture.read()
        if not found:
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
            found=f"{number} before it breaks off; those are done",
            advice="copy or download it again for the rest",
        )


def _breaks_off(video: Video, decoded: int, seconds: float | None) -> bool:
    """Whether much is missing both in frames and in time: in videos of varying speed one of them is an estimate."""
    if video.frames is None or decoded >= _WHOLE * video.frames - 2:
        return False
    if video.fps is None or seconds is None:
        return True
    return seconds + 1 / video.fps < _WHOLE * video.frames / video.fps


def _seconds(capture: cv2.VideoCapture, video: Video, number: int) -> float | None:
    """The time stamp of the frame that was read last, else the number of frames before it in time."""
    stamp = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
    if math.isfinite(stamp) and (stamp > 0 or number == 0):
        return max(stamp, 0.0)
    return None if video.fps is None else number / video.fps


def _stated_fps(capture: cv2.VideoCapture) -> float | None:
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if math.isfinite(fps) and 0 < fps <= _MOST_PLAUSIBLE_FPS else None


def _stated_frames(capture: cv2.VideoCapture) -> int | None:
    """OpenCV gives 0, a negative or an absurdly large number when it does not know."""
    frames = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return int(frames) if math.isfinite(frames) and 0 < frames < 2**40 else None
