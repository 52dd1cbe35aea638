"""Importing the package first makes ``mmcv.ops`` importable without a compiler, whatever order a test imports in."""

import visionzoo  # noqa: F401
