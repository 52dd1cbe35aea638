"""The short options of ``train``, ``test`` and ``config show``: ``--data``, ``--epochs``, ``--lr`` and others.

This module is free of torch: it makes the parser of ``--help``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visionzoo.config import LoadedConfig

_BOTH = ("image_size", "batch_size", "workers")
_HELP: dict[str, dict[str, Any]] = {
    "data": dict(
        metavar="DIR", help="own data: COCO, VOC, YOLO, class folders, masks, points, lanes, volumes (default: "
    ),
    "epochs": dict(type=int, metavar="N", help="length of the training; the schedule follows it (default: "),
    "batch_size": dict(type=int, metavar="N", help="images of one process and iteration (default: "),
    "lr": dict(type=float, metavar="X", help="learning rate, not scaled by the batch size (default: "),
    "image_size": dict(metavar="N|H,W", help="images: shorter side, or height and width, in pixels (default: "),
    "workers": dict(type=int, metavar="N", help="processes that load images; 0 for none (default: "),
    "classes": dict(metavar="A,B", help="names of the classes to train, in this order (default: "),
    "num_classes": dict(type=int, metavar="N", help="classes of the model if the data states none (default: "),
    "freeze": dict(
        nargs="+", metavar="PATTERN", help="parts that are not trained, e.g. backbone.stages.0 neck (default: "
    ),
    "linear_probe": dict(
        action="store_const", const=True, help="train only the layers that give the classes (default: "
    ),
    "layer_decay": dict(
        type=float, metavar="X", help="factor of the learning rate from each layer to the one before it (default: "
    ),
    "head_lr_multiplier": dict(
        type=float, metavar="X", help="factor of the learning rate outside the backbone (default: "
    ),
    "early_stop": dict(type=int, metavar="N", help="stop after N epochs without improvement, 0 for never (default: "),
    "patience": dict(type=int, metavar="N", help="stop after N validations without improvement (default: "),
}


def add_short_options(parser: argparse.ArgumentParser, *, training: bool = True) -> None:
    """Add the short options as a group of the help text.

    Args:
        parser: changed in place.
        training: False for the options of a test.
    """
    group = parser.add_argument_group(
        "short options", "names for settings of the config; --cfg-options sets the others"
    )
    for name, settings in _HELP.items():
        if training or name == "data" or name in _BOTH:
            text = f"{settings['help']}the config's)"
            group.add_argument(f"--{name.replace('_', '-')}", dest=name, default=None, **{**settings, "help": text})


def load_with_short_options(
    args: argparse.Namespace, load: Callable[[Any], LoadedConfig], *, training: bool = True
) -> LoadedConfig:
    """Load a config with ``--cfg-options`` and the short options, and remove the short options from ``args``.

    Args:
        args: the parsed options; changed in place.
        load: loads the config with the options it is given.
        training: False for a test.

    Returns:
        The config. Its first notes state what each short option set.

    Raises:
        ConfigError: an option is not allowed, does not fit the config, or is set by ``--cfg-options`` too.
        DataError: ``--data`` is not a folder of data for the config.
    """
    data = vars(args).pop("data", None)
    chosen = {name: vars(args).pop(name) for name in _HELP if name in args}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    loaded = load(args.cfg_options)
    if data is None and not chosen:
        return loaded

    from visionzoo.config.options import parse_options
    from visionzoo.config.short_options import Settings, require_no_conflict, short_settings, with_whole_pipelines

    given = {".".join(path): value for path, value in parse_options(args.cfg_options).items()}
    settings = Settings()
    if data is not None:
        from visionzoo.cli.common import readers_on_stderr
        from visionzoo.datasets.layouts import data_settings

        with readers_on_stderr(quiet=getattr(args, "quiet", False)):
            found = data_settings(data, loaded.cfg, training=training)
        settings = Settings(dict(found.options), list(found.notes))
        require_no_conflict(settings, args.cfg_options)
        loaded = load({**settings.options, **given})
    short = short_settings(loaded.cfg.to_dict(), chosen, training=training)
    require_no_conflict(short, args.cfg_options)
    options = with_whole_pipelines({**settings.options, **given, **short.options}, loaded.cfg.to_dict())
    loaded = load(options)
    ours = {**settings.options, **short.options}.keys() - given.keys()
    loaded.notes[:] = [text for text in loaded.notes if f"{text.partition(':')[0]}.type" not in ours]
    on_top = [f"{loaded.source}, changed: {', '.join(args.cfg_options)}"] if loaded.run and args.cfg_options else []
    loaded.notes[:0] = [*on_top, *settings.notes, *short.notes]
    return loaded
