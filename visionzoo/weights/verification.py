"""Compare released files on this machine with the sha256 of their cards or of their first download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from visionzoo.errors import CheckpointError
from visionzoo.weights.downloads import file_sha256
from visionzoo.weights.pins import read_pins
from visionzoo.weights.release import LOCAL_FILES, Release


@dataclass(frozen=True)
class Verified:
    """Result for one released file.

    Attributes:
        model: name of the model.
        id: id of the file in the card.
        path: the file.
        sha256: that of the file.
        expected: that of the card or of the first download; None if neither is known.
        source: the source of ``expected``: ``card``, ``first download`` or ``file name``.

    Example:
        >>> print(Verified("scnn_culane", "vgg16", Path("/c/a.pth"), "ab12", "ab", "file name"))
        scnn_culane vgg16: agrees with the file name: sha256 ab12, /c/a.pth
    """

    model: str
    id: str
    path: Path
    sha256: str
    expected: str | None
    source: str

    @property
    def passed(self) -> bool:
        """True unless the sha256 differs from the expected one."""
        return self.expected is None or self.sha256.startswith(self.expected)

    def to_json(self) -> dict[str, object]:
        """Return the result as JSON values."""
        return {**vars(self), "path": str(self.path), "passed": self.passed}

    def __str__(self) -> str:
        about = f"sha256 {self.sha256}, {self.path}"
        if self.expected is None:
            return f"{self.model} {self.id}: no sha256 is known: {about}"
        if self.passed:
            return f"{self.model} {self.id}: agrees with the {self.source}: {about}"
        return f"{self.model} {self.id}: expected sha256 {self.expected} of the {self.source}, found {about}"


def verify_release(release: Release) -> Verified | None:
    """Return the result for a released file; None if it is not on this machine."""
    path = _file_of(release)
    if path is None or not path.is_file():
        return None
    pin = read_pins().get(release.source)
    known = [
        (release.entry.sha256, "card"),
        (pin.sha256 if pin else None, "first download"),
        (release.download.expected, "file name"),
    ]
    expected, source = next(((each, where) for each, where in known if each), (None, ""))
    return Verified(release.model, release.entry.id, path, file_sha256(path), expected, source)


def _file_of(release: Release) -> Path | None:
    if release.scheme not in LOCAL_FILES:
        return release.raw()
    try:
        return LOCAL_FILES[release.scheme](release.source) if release.scheme != "hf" else None
    except CheckpointError:
        return None
