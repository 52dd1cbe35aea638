"""A store of values that may use a limited number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any


class ByteCache:
    """Values by key; the least recently used ones are dropped when their sizes exceed a limit.

    A copy by pickle is empty, so that worker processes start without the values of the main process.

    Args:
        most: limit in bytes; 0 to keep nothing.

    Example:
        >>> cache = ByteCache(10)
        >>> for name in "abc":
        ...     cache.put(name, name.upper(), size=4)
        >>> cache.get("a"), cache.get("c"), cache.size
        (None, 'C', 8)
    """

    def __init__(self, most: int):
        self.most = most
        self.size = 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable) -> Any:
        """Return the value of a key, or None."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep a value of ``size`` bytes; one above the limit is not kept."""
        self._drop(key)
        if size > self.most:
            return
        self._values[key] = (value, size)
        self.size += size
        while self.size > self.most:
            self._drop(next(iter(self._values)))

    def _drop(self, key: Hashable) -> None:
        if key in self._values:
            self.size -= self._values.pop(key)[1]

    def __getstate__(self) -> dict[str, Any]:
        return {"most": self.most, "size": 0, "_values": OrderedDict()}
