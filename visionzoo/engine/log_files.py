"""Numbers of a run as JSON lines."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.visualization import LocalVisBackend

from visionzoo.registry import VISBACKENDS


@VISBACKENDS.register_module()
class JsonLines(LocalVisBackend):
    """:class:`mmengine.visualization.LocalVisBackend` that leaves the config to the work dir, which has it already."""

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """The work dir's own ``config.py`` says it."""
