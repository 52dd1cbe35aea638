"""Configs: find, load, change, check and print them.

Loading reads files and merges dicts. It imports no torch and builds nothing. Checking resolves every ``type`` to its
class, so it imports the libraries that the config names.
"""

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
