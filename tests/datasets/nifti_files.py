"""NIfTI files for tests; tests of a module that imports this one are skipped without nibabel."""

from pathlib import Path

import numpy as np
import pytest

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed (extra medical)")

# Oblique, anisotropic and left-handed.
AFFINE = np.array([[-1.2, 0.3, 0.1, 10], [0.2, 0.9, -0.4, -20], [0.1, 0.35, 2.1, 5], [0, 0, 0, 1]])


def write_nifti(path: Path, data: np.ndarray, affine: np.ndarray | None = AFFINE) -> Path:
    """Write a NIfTI-1 file."""
    nibabel.save(nibabel.Nifti1Image(data, affine), path)
    return path
