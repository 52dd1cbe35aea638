"""Maps with the class of each pixel, in image files of one channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visionzoo.datasets.mask_files import read_ids
from visionzoo.errors import DataError
from visionzoo.structures.image_size import require_size

IGNORED = 255  # class of pixels without a label


def read_semantic_map(
    path: str,
    num_classes: int,
    *,
    reduce_zero_label: bool = False,
    size: Sequence[int] | None = None,
    like: object = "",
) -> np.ndarray:
    """Read a map of classes as (H, W) uint8; 255 for pixels without a label.

    Args:
        path: an image of one channel or with a palette, whose numbers are classes.
        num_classes: number of classes.
        reduce_zero_label: True if 0 is a pixel without a label and k + 1 is class k.
        size: (H, W) of the image; None if it is not known.
        like: name of the image, for the error.

    Raises:
        DataError: the map is missing, broken or of another size than the image, or has a number without a class. The
            message has the file, the number and its first pixel.
    """
    ids = read_ids(path)
    if size is not None:
        require_size(ids.shape, size, path, what="a map of classes", like=like, advice="export it in the image's size")
    labels = np.where((ids == 0) | (ids == IGNORED), IGNORED, ids - 1) if reduce_zero_label else ids
    known = (labels < num_classes) | (labels == IGNORED)
    if not known.all():
        number = int(ids[~known][0])
        row, column = (int(at[0]) for at in np.nonzero(~known))
        raise DataError(
            path,
            expected=f"numbers of {num_classes} classes, or 255 without a label",
            found=f"{number} in row {row}, column {column}",
            advice="name all classes, or set reduce_zero_label if 0 means no label",
        )
    return labels.astype(np.uint8)
