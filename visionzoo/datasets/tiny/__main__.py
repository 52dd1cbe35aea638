"""``python -m visionzoo.datasets.tiny 'tiny://coco?train=16&val=8'`` draws a twin and prints its folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import ZooError


def main(argv: Sequence[str] | None = None) -> int:
    """Print one folder for each address (default: ``tiny://coco``)."""
    addresses = list(sys.argv[1:] if argv is None else argv) or ["tiny://coco"]
    if addresses[0].startswith("-"):
        print("usage: python -m visionzoo.datasets.tiny 'tiny://coco?train=16&val=8&size=129&seed=0'", file=sys.stderr)
        return 0 if {"-h", "--help"} & set(addresses) else 2
    try:
        for address in addresses:
            print(resolve_data_root(address))
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
