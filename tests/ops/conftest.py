"""Import the package first: then ``mmcv.ops`` imports without a compiler, in any order of a test's imports."""

import visionzoo  # noqa: F401
