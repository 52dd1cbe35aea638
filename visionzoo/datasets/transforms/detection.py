"""The last step of the pipelines of boxes and instance masks."""

from __future__ import annotations

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):  # mmdet prints on import; stdout is only for results
    from mmdet.datasets.transforms.formatting import PackDetInputs as _PackDetInputs

from visionzoo.datasets.transforms.planes import PlanesFirst
from visionzoo.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackDetInputs(PlanesFirst, _PackDetInputs):
    """Pack a sample as ``mmdet.PackDetInputs`` does, with a faster step from the image to its planes.

    Args:
        meta_keys: keys that become metainfo, if the sample has them.

    Example:
        >>> import numpy as np
        >>> packed = PackDetInputs()({"img": np.zeros((4, 6, 3), np.uint8), "img_path": "a.png"})
        >>> packed["inputs"].shape, packed["data_samples"].img_path
        (torch.Size([3, 4, 6]), 'a.png')
    """
