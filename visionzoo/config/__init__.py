"""Configs: find, load, change, check and print them.

Loading reads files and merges dicts. It imports no torch and builds nothing. Checking resolves every ``type`` to its
class, so it imports the libraries that the config names. Each name is imported on first use: finding configs does not
import mmengine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visionzoo.config.checking import check_config, import_custom_modules, require_valid
    from visionzoo.config.files import config_folder, config_names, display_path, find_config
    from visionzoo.config.loading import LoadedConfig, has_tiny, load_config
    from visionzoo.config.showing import config_text, diff_configs

__all__ = [
    "LoadedConfig",
    "check_config",
    "config_folder",
    "config_names",
    "config_text",
    "diff_configs",
    "display_path",
    "find_config",
    "has_tiny",
    "import_custom_modules",
    "load_config",
    "require_valid",
]

_MODULES = {
    "checking": ("check_config", "import_custom_modules", "require_valid"),
    "files": ("config_folder", "config_names", "display_path", "find_config"),
    "loading": ("LoadedConfig", "has_tiny", "load_config"),
    "showing": ("config_text", "diff_configs"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"visionzoo.config.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
