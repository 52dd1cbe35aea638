"""Official metrics on files of predictions, without a model: one module for each kind, found by being there.

``panoptic.py`` is the kind ``panoptic`` of `visionzoo eval`. Its ``KIND`` states the files that it reads and its
options; see :class:`FileKind`. Modules import what they need when they measure, so that help answers at once.
"""

from visionzoo.metrics.files._kind import FileKind, Measured, kind_names, kind_of

__all__ = ["FileKind", "Measured", "kind_names", "kind_of"]
