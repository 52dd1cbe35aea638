"""``python -m visionzoo.datasets.tiny 'tiny://coco?train=16&val=8'`` draws a twin and prints where it lies."""

import sys

from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import ZooError

try:
    print(resolve_data_root(sys.argv[1] if len(sys.argv) > 1 else "tiny://coco"))
except ZooError as error:
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(error.exit_code) from None
