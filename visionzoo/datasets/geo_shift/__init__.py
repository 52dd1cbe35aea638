"""Geographic shift: DollarStreet, GeoDE, and test sets with classes of ImageNet."""

from visionzoo.datasets.geo_shift.dollarstreet import DollarStreet
from visionzoo.datasets.geo_shift.geode import GeoDE
from visionzoo.datasets.geo_shift.imagenet_kinds import ImageNetKind

__all__ = ["DollarStreet", "GeoDE", "ImageNetKind"]
