"""Videos of drawn frames. A video appears under its name only when it is complete."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from visionzoo.errors import OutputError
from visionzoo.system.atomic import cannot_write
from visionzoo.tasks.inputs.videos import frame_count

SUFFIX = ".mp4"
_CODEC = "mp4v"  # MPEG-4 part 2: every build of OpenCV with FFmpeg can write it, but most cannot write H.264
_USUAL_FPS = 25.0


class DrawnVideo:
    """An MP4 file (MPEG-4 part 2) that is written frame by frame to a temporary file and renamed when it is complete.

    The first frame determines the size. An odd height or width gets one more row or column, because the codec needs
    even sizes. Later frames of another size are cropped, or padded with white below and to the right.

    Args:
        path: final path of the video.
        first: the first frame, (H, W, 3) uint8 RGB. It is not written; pass it to :meth:`add`.
        fps: frames per second; None for 25.

    Attributes:
        works: True if this OpenCV can write such a video. If False, no method may be called.

    Raises:
        OutputError: the folder cannot be created.
    """

    def __init__(self, path: Path, first: np.ndarray, fps: float | None):
        self.path, self.frames = path, 0
        self.size = first.shape[1] + first.shape[1] % 2, first.shape[0] + first.shape[0] % 2
        self._beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        code = cv2.VideoWriter.fourcc(*_CODEC)
        self._writer = cv2.VideoWriter(str(self._beside), code, fps or _USUAL_FPS, self.size)
        self.works = self._writer.isOpened()
        if not self.works:
            self._beside.unlink(missing_ok=True)

    def add(self, image: np.ndarray) -> None:
        """Write a frame, (H, W, 3) uint8 RGB."""
        self._writer.write(cv2.cvtColor(_fitted(image, self.size), cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self, *, complete: bool) -> None:
        """Rename the video to its final path, or remove it if it is not ``complete``.

        Raises:
            OutputError: frames are missing in the file, as on a full disk. OpenCV does not report this.
        """
        self._writer.release()
        try:
            if complete:
                self._require_whole()
                os.replace(self._beside, self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        finally:
            self._beside.unlink(missing_ok=True)

    def _require_whole(self) -> None:
        written = frame_count(self._beside) or 0
        if written < self.frames:
            raise OutputError(
                self.path,
                expected=f"a video of {self.frames} frames to be written",
                but=f"{written} are in the file",
                advice="free some space on the disk, or use --vis none",
            )


def _fitted(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Crop or pad the image to ``size`` (width, height).

    If at most one row and one column are missing, the last ones are repeated; else the padding is white.
    """
    width, height = size
    image = image[:height, :width]
    below, right = height - image.shape[0], width - image.shape[1]
    if below <= 1 and right <= 1:
        return np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
    return np.pad(image, ((0, below), (0, right), (0, 0)), constant_values=255)
