"""Search spaces by name, and the check of their options."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from visionzoo.algorithms.bossnas.hytra import HyTraSupernet
from visionzoo.algorithms.bossnas.mbconv import MBConvSupernet
from visionzoo.algorithms.bossnas.nats import NATSSupernet
from visionzoo.algorithms.bossnas.settings import SearchSettings
from visionzoo.algorithms.bossnas.supernet import Supernet
from visionzoo.config.signatures import arguments_of
from visionzoo.datasets.findings import shown
from visionzoo.errors import ConfigError, require_known

_LARGEST_SIZE = 100_000

_SPACES: dict[str, Callable[..., Supernet]] = {
    "hytra": HyTraSupernet,
    "mbconv": MBConvSupernet,
    "nats_cifar10": NATSSupernet,
    "nats_cifar100": NATSSupernet,
}


def supernet_of(settings: SearchSettings) -> Supernet:
    """Build the supernet of the space in the settings."""
    options = {"seed": settings.seed, **settings.space_options}
    if settings.space.startswith("nats"):
        options["target"] = settings.space.removeprefix("nats_")
    return _SPACES[settings.space](**options)


def check_space_options(settings: SearchSettings) -> None:
    """Check names and types of the options of a space; their values are checked by the supernet.

    Raises:
        UnknownName: the space has no such option.
        ConfigError: an option is not of the type of its argument.
    """
    known = arguments_of(_SPACES[settings.space]).names
    signature = inspect.signature(_SPACES[settings.space]).parameters
    for name, value in settings.space_options.items():
        require_known(name, known, f"option of the space {settings.space}")
        is_switch = isinstance(signature[name].default, bool)
        is_size = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_SIZE
        if not (isinstance(value, bool) if is_switch else is_size):
            raise ConfigError(
                f"space_options.{name}",
                expected="True or False" if is_switch else f"a whole number of at least 0 and at most {_LARGEST_SIZE}",
                found=shown(value),
                advice="change it, or leave it out",
            )


def image_size_of(settings: SearchSettings) -> int:
    """Return height and width of the images in pixels."""
    return int(settings.space_options.get("image_size", 224))
