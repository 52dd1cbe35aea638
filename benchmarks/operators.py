"""Profile of a network by operator, which benchmarks share: CPU time, arithmetic, and bytes moved.

Times are CPU times between the begin and the end of each operator. Time between operators does not count.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from timing import time_in_turns
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_PRODUCT = 1024  # side of the matrices whose product gives the arithmetic rate
_COPIED = 2**24  # numbers of a copy that gives the memory bandwidth, 64 MiB


@dataclass
class Spent:
    """Sums over all calls of one operator."""

    calls: int = 0
    seconds: float = 0.0
    flops: float = 0.0
    moved: float = 0.0


class OperatorProfile(TorchDispatchMode):
    """Measure each operator that runs inside ``with``. Views move nothing, so their time is overhead."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: dict[str, Spent] = defaultdict(Spent)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        start = time.process_time()
        result = func(*args, **kwargs)
        seconds = time.process_time() - start
        spent = self.spent[_name(func, args)]
        spent.calls += 1
        spent.seconds += seconds
        if func._overloadpacket in flop_registry:
            spent.flops += flop_registry[func._overloadpacket](*args, **kwargs, out_val=result)
        if not func.is_view:
            spent.moved += sum(tensor.nbytes for tensor in _tensors((args, kwargs, result)))
        return result

    @property
    def flops(self) -> float:
        """Floating-point operations of all operators."""
        return sum(spent.flops for spent in self.spent.values())


def _name(func: Any, args: Any) -> str:
    """Return the operator's name; for convolutions also their kernel, and whether they are depthwise."""
    name = func._overloadpacket.__name__.strip("_")
    if name != "convolution":
        return name
    groups, kernel = args[8], args[1].shape[-1]
    return f"{'depthwise ' if groups > 1 else ''}{name} {kernel}x{kernel}"


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))


def count_flops(run: Callable[[], object]) -> float:
    """Return the floating-point operations of products and convolutions; a multiply-add counts as two."""
    with OperatorProfile() as profile:
        run()
    return profile.flops


def product_run() -> tuple[Callable[[], object], float]:
    """Return a run of a plain matrix product, whose speed is the arithmetic limit, and its operations."""
    a, b = torch.randn(_PRODUCT, _PRODUCT), torch.randn(_PRODUCT, _PRODUCT)
    return lambda: torch.mm(a, b), 2 * _PRODUCT**3


def print_operators(run: Callable[[], object], rounds: int = 3, rows: int = 14) -> None:
    """Print one row for each of the slowest operators, relative to the speed of a product and of a copy."""
    product, flops = product_run()
    source, target = torch.randn(_COPIED), torch.empty(_COPIED)
    run()
    with OperatorProfile() as profile:
        for _ in range(rounds):
            run()
    limits = time_in_turns({"product": product, "copy": lambda: target.copy_(source)}, 5)
    rate, bandwidth = flops / limits["product"], 2 * source.nbytes / limits["copy"]
    total = sum(spent.seconds for spent in profile.spent.values())
    print(f"  limits: {rate / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.1f} GB/s; operators {1e3 * total / rounds:.1f} ms")
    print(f"  {'operator':<46}{'calls':>6}{'ms':>9}{'of time':>9}{'GFLOP/s':>9}{'GB/s':>7}")
    slowest = sorted(profile.spent.items(), key=lambda item: -item[1].seconds)[:rows]
    for name, spent in slowest:
        speeds = spent.flops / spent.seconds / 1e9, spent.moved / spent.seconds / 1e9
        times = 1e3 * spent.seconds / rounds, spent.seconds / total
        print(
            f"  {name:<46}{spent.calls // rounds:>6}{times[0]:>9.2f}{times[1]:>9.1%}{speeds[0]:>9.1f}{speeds[1]:>7.1f}"
        )
