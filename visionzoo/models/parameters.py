"""Models with and without parameters. A model without parameters has no weights, and nothing to train."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from visionzoo.config.tree import plain
from visionzoo.errors import ZooError
from visionzoo.models.meta_device import meta_device
from visionzoo.models.wiring import build_model
from visionzoo.registry import MODELS, SCOPE


def part_has_parameters(cfg: Mapping) -> bool:
    """Return True if a part has parameters.

    Args:
        cfg: config of the part, with all its channels.

    Example:
        >>> part_has_parameters({"type": "ImagePair"}), part_has_parameters({"type": "BossNet"})
        (False, True)
    """
    with meta_device(), DefaultScope.overwrite_default_scope(SCOPE):
        part = MODELS.build(ConfigDict(copy.deepcopy(plain(cfg))))
    return any(True for _ in part.parameters())


def has_parameters(model_cfg: Mapping, replaced: Mapping[str, Mapping] | None = None) -> bool:
    """Return False if the model of a config can be built and has no parameters.

    The model is built on the device ``meta``, which takes no memory. A model that cannot be built there counts as one
    with parameters.

    Args:
        model_cfg: the ``model`` of a config. It is not changed.
        replaced: configs that ``--cfg-options`` replaced, by path.

    Raises:
        ConfigError, UnknownName: the config of the model has a problem.

    Example:
        >>> parts = dict(backbone=dict(type="ImagePair"), head=dict(type="DirectRegistrationHead"))
        >>> has_parameters(dict(type="TaskModel", **parts))
        False
    """
    try:
        with meta_device():
            model = build_model(model_cfg, replaced=replaced)
    except ZooError:
        raise
    except Exception:  # parts of other libraries raise errors of any type on the device meta
        return True
    return any(True for _ in model.parameters())
