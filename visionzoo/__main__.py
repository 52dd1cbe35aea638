"""``python -m visionzoo``: the ``visionzoo`` command without its script."""

from visionzoo.cli import main

raise SystemExit(main())
