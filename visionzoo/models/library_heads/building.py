"""Choice of the adapter of a head by the base class or the methods of its class."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.config import ConfigDict

from visionzoo.config.signatures import arguments_of
from visionzoo.errors import ConfigError
from visionzoo.models.part_configs import name_of, resolved
from visionzoo.registry import MODELS

_LIBRARIES = ("mmdet", "mmseg")


def build_head(cfg: Mapping) -> Any:
    """Build a head that is called with feature maps and a batch.

    A head of the zoo is built as it is. A head of mmdet or mmseg is built inside its adapter, which converts the
    samples of the batch and the predictions. The config of such a head also has the settings that mmdet and mmseg write
    in the model: ``train_cfg`` and ``test_cfg``, and ``panoptic_fusion_head`` of a head with mask queries.

    Args:
        cfg: config of the head with channels and class counts filled in. It is not changed.

    Raises:
        ConfigError: the class is one of mmdet or mmseg that does not compute losses and predictions from feature maps.
        UnknownName: no part has the name of the type.

    Example:
        >>> type(build_head(dict(type="mmseg.FCNHead", in_channels=8, channels=4, num_classes=3))).__name__
        'PixelHead'
    """
    head = resolved(cfg)
    if not is_of_library(head):
        return MODELS.build(dict(cfg))
    return _adapter_of(head, name_of(cfg)).of_config(ConfigDict(copy.deepcopy(dict(cfg))))


def is_of_library(head: Any) -> bool:
    """Return True if a class inherits from mmdet or mmseg, and its ``forward`` takes no batch.

    Example:
        >>> is_of_library(MODELS.get("mmdet.RetinaHead")), is_of_library(MODELS.get("DensityHead"))
        (True, False)
    """
    bases = getattr(head, "__mro__", ())
    inherits = any(base.__module__.partition(".")[0] in _LIBRARIES for base in bases)
    return inherits and not arguments_of(head.forward).know("batch")


def finds_objects(head: Any) -> bool:
    """Return True if the class of a head counts only the things of the data as its classes.

    Example:
        >>> finds_objects(MODELS.get("mmdet.RetinaHead")), finds_objects(MODELS.get("mmseg.FCNHead"))
        (True, False)
    """
    adapter = _adapter_for(head) if is_of_library(head) else None
    return adapter is not None and adapter.FINDS_OBJECTS


def _adapter_for(head: Any) -> Any:
    """Return the adapter of a class, or None. Only its library is imported, which takes seconds."""
    if computes_maps(head):
        from visionzoo.models.library_heads.pixels import PixelHead

        return PixelHead
    from visionzoo.models.library_heads.dense import DenseHead, DenseMaskHead
    from visionzoo.models.library_heads.queries import QueryHead

    return next((adapter for adapter in (QueryHead, DenseHead, DenseMaskHead) if issubclass(head, adapter.INNER)), None)


def computes_maps(head: Any) -> bool:
    """Return True if a class is a decode head of mmseg: its ``loss`` receives ``train_cfg``.

    Heads that refine the map of another head (``prev_output``) are left out.
    """
    loss = getattr(head, "loss", None)
    known = None if loss is None else arguments_of(loss)
    return known is not None and known.know("train_cfg") and not known.know("prev_output")


def _adapter_of(head: Any, name: str) -> Any:
    adapter = _adapter_for(head)
    if adapter is None:
        raise ConfigError(
            name,
            expected="a head that computes losses and predictions only from feature maps",
            found=f"a class of {head.__module__.partition('.')[0]} with other inputs",
            advice="choose a dense head, one with mask queries, a decode head, or TwoStageHead for proposals and RoIs",
        )
    return adapter
