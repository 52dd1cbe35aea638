"""Names of pairs of volumes in lists and on command lines. This module imports nothing, so that ``--help`` is fast."""

# Columns of a CSV file of pairs. All but the first two are optional.
COLUMNS = ("fixed", "moving", "fixed_labels", "labels", "fixed_mask", "fixed_points", "points")

# Formats of a displacement field in NIfTI files, see :mod:`visionzoo.datasets.field_files`.
FIELD_FORMATS = ("itk", "voxel", "l2r")

# How volumes are sampled. ``auto`` is ``nearest`` for label maps and ``linear`` for images.
INTERPOLATIONS = ("auto", "linear", "nearest", "onehot")
