"""Versions that mmcv's environment report reads from its extension."""

from __future__ import annotations


def get_compiler_version() -> str:
    """Return a note that no compiler was used."""
    return "none (ops served by visionzoo from torch and torchvision)"


def get_compiling_cuda_version() -> str:
    """Return a note that no CUDA version was compiled for."""
    return "not available"
