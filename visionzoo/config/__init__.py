"""Configs: find, load, change, check and print them.

Loading reads files and merges dicts; it imports no torch and builds nothing. Checking resolves every ``type`` to
its class, so it imports the libraries that the config names.
"""

from visionzoo.config.files import config_folder, config_names, display_path, find_config
from visionzoo.config.loading import LoadedConfig, load_config

__all__ = ["LoadedConfig", "config_folder", "config_names", "display_path", "find_config", "load_config"]
