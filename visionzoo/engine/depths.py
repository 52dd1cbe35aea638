"""Depth of every parameter of a model: stem, layers in order, head. Names of backbones differ; this finds their layers.

The layers of a backbone are the blocks of its stages. A stage is a child whose name ends with a number (``layer1``,
``stages_0``, ``cell_3``), or an entry of a list (``levels.0``, ``blocks.2``). Its blocks are the entries of the list
that it is or holds; a stage without a list is one block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

# Words in names of parts that are not blocks, and of those that are run before the first block.
_NO_BLOCKS = frozenset({"conv", "bn", "norm", "act", "downsample", "stem", "patch", "embed", "tokenizer"})
_FIRST = frozenset({"stem", "patch", "embed", "embeds", "tokenizer"})


@dataclass(frozen=True)
class Layer:
    """A layer of a backbone.

    Attributes:
        name: name of the module.
        stage: name of its stage.
    """

    name: str
    stage: str


def model_depths(model: nn.Module) -> dict[str, int]:
    """Return the depth of every parameter of a model.

    Parameters of its ``backbone`` have the depths of :func:`layer_depths`. All others are one deeper than the last
    layer. A model without a ``backbone`` counts as a backbone.
    """
    inside = getattr(model, "backbone", None)
    prefix = "" if inside is None else "backbone."
    depths = {prefix + name: depth for name, depth in layer_depths(model if inside is None else inside).items()}
    head = max(depths.values(), default=-1) + 1
    return {name: depths.get(name, head) for name, _ in model.named_parameters()}


def layer_depths(backbone: nn.Module) -> dict[str, int]:
    """Return the depth of every parameter of a backbone, in the order in which its layers are registered.

    Parameters before the first layer, and those of a stem, have depth 0. Parameters between two layers (a downsampling,
    a norm) have the depth of the layer before them.

    Example:
        >>> layer_depths(nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False)))
        {'0.weight': 1, '2.weight': 2}
    """
    layers, trunk = layers_of(backbone), trunk_of(backbone)
    depths, depth = {}, 0
    for name, _ in backbone.named_parameters():
        inside = [number for number, layer in enumerate(layers, 1) if name.startswith(f"{layer.name}.")]
        if not inside and _is_first(name.removeprefix(trunk).partition(".")[0]):
            depths[name] = 0
            continue
        depth = max(inside) if inside else depth
        depths[name] = depth
    return depths


def stage_depths(backbone: nn.Module) -> list[range]:
    """Return the depths of the layers of each stage of a backbone, in order.

    Example:
        >>> stage_depths(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)))
        [range(1, 2), range(2, 3)]
    """
    layers = layers_of(backbone)
    counts: dict[str, int] = {}
    for layer in layers:
        counts[layer.stage] = counts.get(layer.stage, 0) + 1
    ends, first = [], 1
    for count in counts.values():
        ends.append(range(first, first + count))
        first += count
    return ends


def layers_of(backbone: nn.Module) -> list[Layer]:
    """Return the layers of a backbone in order.

    Example:
        >>> from mmdet.models import ResNet
        >>> [layer.name for layer in layers_of(ResNet(depth=18))[:3]]
        ['layer1.0', 'layer1.1', 'layer2.0']
    """
    prefix = trunk_of(backbone)
    trunk = backbone.get_submodule(prefix.rstrip("."))
    children = _with_parameters(trunk)
    found = [layer for name, child in children.items() for layer in _layers_in(name, child)]
    if not found:
        found = [Layer(name, name) for name, child in children.items() if _is_weighted(child)]
    return [Layer(f"{prefix}{layer.name}", f"{prefix}{layer.stage}") for layer in found]


def trunk_of(backbone: nn.Module) -> str:
    """Return the prefix of the module that holds the stages: ``net.`` for a wrapper with one child, "" without one."""
    prefix, module = "", backbone
    while True:
        children = _with_parameters(module)
        names = list(children)
        inner = children[names[0]] if len(names) == 1 else None
        if inner is None or next(inner.children(), None) is None or any(True for _ in module.parameters(recurse=False)):
            return prefix
        prefix, module = f"{prefix}{names[0]}.", inner


def _with_parameters(module: nn.Module) -> dict[str, nn.Module]:
    return {name: child for name, child in module.named_children() if next(child.parameters(), None) is not None}


def _layers_in(name: str, child: nn.Module) -> Iterator[Layer]:
    """Yield the layers in a child of the trunk."""
    if _words(name) & _NO_BLOCKS:
        return
    if name[-1].isdigit():
        yield from _blocks_of(name, child)
    elif _is_list(child):
        for entry, stage in _with_parameters(child).items():
            yield from _blocks_of(f"{name}.{entry}", stage)


def _blocks_of(name: str, stage: nn.Module) -> Iterator[Layer]:
    """Yield the blocks of a stage: the entries of the list that it is or holds, else the stage itself."""
    lists = {f"{name}.{key}": child for key, child in _with_parameters(stage).items() if _has_blocks(child)}
    if _has_blocks(stage):
        lists = {name: stage}
    for path, blocks in lists.items():
        yield from (Layer(f"{path}.{entry}", name) for entry in _with_parameters(blocks))
    if not lists and next(stage.children(), None) is not None:
        yield Layer(name, name)


def _has_blocks(module: nn.Module) -> bool:
    """Return True for a list of blocks, and False for a list of single operations (convolution, norm, activation)."""
    children = _with_parameters(module)
    if not _is_list(module) or not children:
        return False
    return all(
        next(child.children(), None) is not None and not _words(name) & _NO_BLOCKS for name, child in children.items()
    )


def _is_list(module: nn.Module) -> bool:
    """Return True for a list, or a module whose children are numbered: ``b1``, ``b2``."""
    if isinstance(module, (nn.ModuleList, nn.Sequential, nn.ModuleDict)):
        return True
    names = list(_with_parameters(module))
    return bool(names) and all(name[-1].isdigit() for name in names) and len({*map(_stem_of, names)}) == 1


def _stem_of(name: str) -> str:
    return name.rstrip("0123456789")


def _words(name: str) -> set[str]:
    """Return the words of a name without numbers: ``features_conv0`` has features and conv."""
    return set(filter(None, (_stem_of(word) for word in re.split(r"[_.]", name))))


def _is_first(name: str) -> bool:
    return bool(_words(name) & _FIRST) or name == "conv0"


def _is_weighted(module: nn.Module) -> bool:
    """Return True for a part with a weight of several dimensions: a convolution or a linear layer, not a norm."""
    return any(parameter.ndim > 1 for parameter in module.parameters())


def depth_names(depths: Mapping[str, int]) -> dict[int, str]:
    """Return words for the depths of a model: ``stem``, ``layer 3 of 8``, ``head``.

    Args:
        depths: see :func:`model_depths`.

    Example:
        >>> depth_names({"backbone.stem.weight": 0, "backbone.layer1.weight": 1, "head.weight": 2})
        {0: 'stem', 1: 'layer 1 of 1', 2: 'head'}
    """
    head = max(depths.values(), default=0)
    names = {depth: f"layer {depth} of {head - 1}" for depth in range(1, head)}
    return {0: "stem", **names, head: "head"}
