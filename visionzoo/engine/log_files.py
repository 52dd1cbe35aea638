"""Log file of a run's numbers, as JSON lines."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.visualization import LocalVisBackend

from visionzoo.registry import VISBACKENDS


@VISBACKENDS.register_module()
class JsonLines(LocalVisBackend):
    """:class:`mmengine.visualization.LocalVisBackend` without the config, which the work dir already holds."""

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Do nothing: the work dir has its own ``config.py``."""
