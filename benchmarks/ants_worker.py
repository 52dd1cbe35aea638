"""Registers one pair with ANTs, for ``registration.py``, in an environment that has antspyx and not visionzoo.

    python ants_worker.py PAIR.npz RESULT.npz OPTIONS

``PAIR.npz`` holds ``fixed``, ``moving`` and ``moving_labels``; OPTIONS are the arguments of ``ants.registration`` in
JSON. The grids have the identity as directions and voxels of 1 mm, so that displacements in mm are in voxels.
"""

from __future__ import annotations

import json
import resource
import sys
from importlib.metadata import version

import ants
import numpy as np


def main(pair_file: str, result_file: str, options: str) -> None:
    """Write the CPU seconds, the warped labels and both displacement fields."""
    with np.load(pair_file) as pair:
        fixed, moving = (ants.from_numpy(pair[name].astype(np.float32)) for name in ("fixed", "moving"))
        labels = ants.from_numpy(pair["moving_labels"].astype(np.float32))
    start = _seconds()
    found = ants.registration(fixed, moving, random_seed=0, **json.loads(options))
    seconds = _seconds() - start
    maps = dict(transformlist=found["fwdtransforms"], interpolator="nearestNeighbor")
    warped = ants.apply_transforms(fixed, labels, **maps)
    linear = [name.endswith(".mat") for name in found["invtransforms"]]
    forward = ants.apply_transforms(fixed, moving, found["fwdtransforms"], compose=result_file + "_forward")
    inverse = ants.apply_transforms(
        moving, fixed, found["invtransforms"], whichtoinvert=linear, compose=result_file + "_inverse"
    )
    fields = {name: _field(file, fixed.shape) for name, file in (("field", forward), ("inverse_field", inverse))}
    np.savez(result_file, seconds=seconds, warped_labels=warped.numpy().round(), version=version("antspyx"), **fields)


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _field(file: str, size: tuple[int, ...]) -> np.ndarray:
    """Return displacements (3, *size)."""
    if file.endswith(".mat"):
        transform = ants.read_transform(file)
        places = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1).reshape(-1, 3)
        matrix, shift = np.array(transform.parameters[:9]).reshape(3, 3), np.array(transform.parameters[9:])
        centre = np.array(transform.fixed_parameters)
        moved = (places - centre) @ matrix.T + centre + shift - places
        return moved.reshape(*size, 3).transpose(3, 0, 1, 2).astype(np.float32)
    return np.moveaxis(ants.image_read(file).numpy(), -1, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
