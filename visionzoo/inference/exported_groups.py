"""Run an exported model of groups of images: a group is the batch of the graph; this module does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from visionzoo.structures.graph_results import GraphSample

Run = Callable[[Mapping[str, list[Any]]], list[Any]]


def run_groups(run: Run, data: Mapping[str, list[Any]]) -> list[GraphSample]:
    """Return one sample for each group, whose values are lists with one value for each image.

    Args:
        run: runs images, ``inputs`` with their original sizes as ``data_samples``, and returns their samples.
        data: groups in the same form: a list of images, and a list of their original sizes, for each group.

    Example:
        >>> data = {"inputs": [["a", "b"]], "data_samples": [[(4, 6), (5, 5)]]}
        >>> run_groups(lambda group: [GraphSample(pred_map=each) for each in group["inputs"]], data)
        [{'pred_map': ['a', 'b']}]
    """
    groups = zip(data["inputs"], data["data_samples"], strict=True)
    found = [run({"inputs": list(images), "data_samples": list(sizes)}) for images, sizes in groups]
    return [GraphSample({name: [each[name] for each in members] for name in members[0]}) for members in found]
