"""Models with and without parameters. A model without parameters has no weights, and nothing to train."""

from __future__ import annotations

from collections.abc import Mapping

from visionzoo.errors import ZooError
from visionzoo.models.meta_device import meta_device
from visionzoo.models.wiring import build_model


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
