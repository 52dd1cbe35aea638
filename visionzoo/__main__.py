"""``python -m visionzoo``: the ``visionzoo`` command without its script."""

from visionzoo.cli import run

run()
