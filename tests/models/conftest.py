"""Import visionzoo before the tests import mmdet, whose masks otherwise do not find the ops without a compiler."""

import visionzoo

__all__ = ["visionzoo"]
