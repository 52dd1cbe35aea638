"""Versions of the software that affects results."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from visionzoo._version import __version__

_PACKAGES = (
    "torch",
    "torchvision",
    "onedl-mmengine",
    "onedl-mmcv",
    "onedl-mmdetection",
    "onedl-mmsegmentation",
    "timm",
    "numpy",
    "opencv-python",
)


def versions() -> dict[str, str]:
    """Return the versions of Python, visionzoo and the installed packages that affect results."""
    numbers = {"python": sys.version.split()[0], "visionzoo": __version__}
    found = ((package, _version(package)) for package in _PACKAGES)
    return numbers | {package: number for package, number in found if number is not None}


@cache
def _version(package: str) -> str | None:
    """Return the version of an installed package, whose whole metadata is read for it; None without the package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_describe() -> str | None:
    """Return ``git describe`` of the source checkout, or None for an installed package or without git."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--tags"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None
