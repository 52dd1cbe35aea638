"""What mmcv's own environment report asks its extension for."""

from __future__ import annotations


def get_compiler_version() -> str:
    """Nothing was compiled."""
    return "none (ops served by visionzoo from torch and torchvision)"


def get_compiling_cuda_version() -> str:
    """Nothing was compiled, so not for any CUDA version."""
    return "not available"
