"""Explanations of the predictions of any task: Grad-CAM of what a model found in an input, and a sheet of it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from visionzoo.analysis.fed_images import rgb_of
from visionzoo.analysis.grad_cam import (
    LAYOUTS,
    METHODS,
    Layer,
    Output,
    as_feature_map,
    enlarged_map,
    grad_cam,
    gradient_of,
    layer_of,
    require_finite,
    watched,
)
from visionzoo.analysis.randomising import SANITY, random_stages, rank_correlation
from visionzoo.analysis.undetached import Undetached
from visionzoo.errors import ConfigError, DataError, InputError, RunFailed, ZooError, require_known
from visionzoo.inference.inferencer import Inferencer
from visionzoo.inference.selecting import model_thresholds
from visionzoo.models.preprocessing import unnormalised
from visionzoo.reports.captioned_sheets import Tile, captioned_sheet
from visionzoo.reports.heat_maps import colour_bar, heated
from visionzoo.reports.images import draw_outline
from visionzoo.system.library_warnings import without_library_warnings
from visionzoo.tasks import Task, task_of
from visionzoo.tasks._goals import Fed, Goal, no_goal
from visionzoo.tasks.inputs.base import Source

_SIDE = 480  # pixels of an image of a sheet
_WHITE = (255, 255, 255)
_NOWHERE = Source("", None, Path())


@dataclass(frozen=True)
class RandomMap:
    """The map of the model after some of its parts received random weights.

    Attributes:
        part: the part that received them last.
        map: (H, W) float32 in [0, 1]; None if the model finds no such target any more.
        correlation: Spearman's rank correlation with the map of the model; None without a map, or if one is constant.
        error: the reason why there is no map; else None.
    """

    part: str
    map: np.ndarray | None = None
    correlation: float | None = None
    error: ZooError | None = None

    @property
    def said(self) -> str:
        """The rank correlation in words."""
        if self.error is not None:
            return "no map"
        return f"rank correlation {'not defined' if self.correlation is None else f'{self.correlation:.2f}'}"

    def record(self) -> dict[str, Any]:
        """Return the entry of ``explanations.jsonl``."""
        reason = {} if self.error is None else {"error": str(self.error)}
        return {"random": self.part, "rank_correlation": self.correlation, **reason}


@dataclass(frozen=True)
class Explanation:
    """The map of one input, or the reason why it has none.

    Attributes:
        source: the input.
        said: the explained value in words.
        value: the explained value. For a group, one value explains all its images.
        map: (H, W) float32 in [0, 1], of the input as the model is fed, without padding. 1 is the place that raises the
            value most, 0 the place that raises it least.
        image: (H, W, 3) uint8 RGB, the input as the model is fed, without padding.
        region: (H, W) bool, where the target is; False everywhere for one without a place, such as a class.
        layer: name of the layer.
        shape: channels, height and width of the layer's feature map.
        group: folder of the images, for models that process several images together.
        checks: maps with random weights, if they are requested.
        error: the reason why the input has no map; else None.
    """

    source: Source
    said: str = ""
    value: float = 0.0
    map: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    image: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))
    region: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))
    layer: str = ""
    shape: tuple[int, ...] = ()
    group: str | None = None
    checks: tuple[RandomMap, ...] = ()
    error: ZooError | None = None

    @property
    def is_zero(self) -> bool:
        """True if no place of the layer raises the value more than another, so that the map is 0 everywhere."""
        return not self.map.any()

    def record(self) -> dict[str, Any]:
        """Return a line of ``explanations.jsonl``, without what all inputs share and without the paths of files."""
        about: dict[str, Any] = {"input": self.source.name, **self.source.columns}
        about |= {} if self.group is None else {"group": self.group}
        if self.error is not None:
            return {**about, "error": str(self.error)}
        about |= {"target": self.said, "value": self.value, "size": [self.map.shape[1], self.map.shape[0]]}
        about |= {"layer": self.layer, "feature_map": list(self.shape), "zero": self.is_zero}
        return {**about, "sanity": [check.record() for check in self.checks]} if self.checks else about


@dataclass(frozen=True)
class _Found:
    """Maps of the images of one forward pass.

    Attributes:
        about: what is the same for all images.
        maps: a map for each image.
        regions: where the target is in each image.
        again: see :class:`visionzoo.tasks._goals.Goal`.
    """

    about: Explanation
    maps: list[np.ndarray]
    regions: list[np.ndarray]
    again: str | None


class Explainer:
    """Grad-CAM of the predictions of a model.

    Args:
        inferencer: the model, with its preparation of inputs. Its module names are those of the config.
        target: what is explained, such as the name of a class; see the ``goal`` of the task. None for its default.
        layer: see :func:`visionzoo.analysis.grad_cam.layer_of`. None for the deepest feature map of the backbone.
        method: ``grad-cam`` or ``grad-cam++``.
        layout: axes of the layer's output: ``channels-first``, ``channels-last`` or ``tokens``.
        sanity: ``cascading`` or ``all`` for maps with random weights; None for none.
        seed: seed of the random weights.

    Raises:
        UnknownName: no such layer, method, layout or check.
        ConfigError: the inferencer has a file of an exported model, which has no gradients, or its task has no value to
            explain.

    Example:
        >>> inferencer = Inferencer("bossnet_t0_imagenet", "none", tiny=True, device="cpu")
        >>> found, = Explainer(inferencer, target="tench")(inferencer.prepare.inputs.sources_of(np.eye(48)))
        >>> found.said, found.map.shape == found.image.shape[:2]
        ('logit of tench', True)
    """

    def __init__(
        self,
        inferencer: Inferencer,
        *,
        target: str | None = None,
        layer: str | None = None,
        method: str = "grad-cam",
        layout: str = "channels-first",
        sanity: str | None = None,
        seed: int = 0,
    ):
        require_known(method, METHODS, "method")
        require_known(layout, LAYOUTS, "layout of a layer")
        if sanity is not None:
            require_known(sanity, SANITY, "check with random weights")
        if not isinstance(inferencer.model, torch.nn.Module):
            advice = "explain the model from which it was exported"
            raise ConfigError("model", expected="a model of PyTorch", found="an exported file", advice=advice)
        self.inferencer, self.task = inferencer, task_of(inferencer.task)
        if type(self.task).goal is Task.goal:
            raise no_goal(inferencer.task)
        self.model: Any = inferencer.model.eval()
        self.thresholds = tuple(model_thresholds(inferencer.task, inferencer.config, self.model))
        self.target, self.layer, self.method, self.layout = target, layer_of(self.model, layer), method, layout
        self.sanity, self.seed = sanity, seed
        for module in self.model.modules():
            if getattr(module, "with_cp", False):  # gradients of a checkpointed block do not reach a layer in it
                module.with_cp = False  # type: ignore[assignment]

    def __call__(self, sources: Iterable[Source]) -> Iterator[Explanation]:
        """Yield one explanation for each input in order, of groups in the order of their first images.

        An input that cannot be read, or in which the model does not find the target, yields one with an ``error``.

        Raises:
            ConfigError, UnknownName: the target or the layer cannot be explained, whatever the input is.
            RunFailed: the device is out of memory.
        """
        for group, members in self._grouped(sources):
            values = [self._read(source) for source in members]
            usable = [at for at, value in enumerate(values) if not isinstance(value, Explanation)]
            found = self._found([members[at] for at in usable], [values[at] for at in usable]) if usable else []
            for at, explanation in zip(usable, found, strict=True):
                values[at] = explanation
            yield from (replace(each, group=group) for each in values)

    def _grouped(self, sources: Iterable[Source]) -> Iterator[tuple[str | None, list[Source]]]:
        """Yield the inputs of each forward pass with the name of their group."""
        inputs = self.inferencer.prepare.inputs
        if not inputs.are_grouped:
            yield from ((None, [source]) for source in sources)
            return
        groups: dict[str, list[Source]] = {}
        for source in sources:
            groups.setdefault(inputs.group_of(source), []).append(source)
        yield from groups.items()

    def _read(self, source: Source) -> Any:
        try:
            return self.inferencer.prepare.read(source)
        except (DataError, InputError) as error:
            return Explanation(source.without_pixels(), error=error)

    def _found(self, sources: list[Source], values: list[Any]) -> list[Explanation]:
        """Return the explanations of the inputs of one forward pass."""
        try:
            packed = self._packed(sources, values)
            return self._explained(packed, [source.without_pixels() for source in sources])
        except (DataError, InputError) as error:
            reason = error.at(sources[0].name, InputError)
            return [Explanation(source.without_pixels(), error=reason) for source in sources]
        except torch.OutOfMemoryError as error:
            text = f"{sources[0].name}: out of memory on {self.inferencer.device}; gradients need more than predictions"
            raise RunFailed(f"{text}; use smaller images or --device cpu") from error

    def _packed(self, sources: list[Source], values: list[Any]) -> dict[str, Any]:
        prepare = self.inferencer.prepare
        return prepare.group(sources, values) if prepare.inputs.are_grouped else prepare.packed(sources[0], values[0])

    def _explained(self, packed: dict[str, Any], sources: list[Source]) -> list[Explanation]:
        fed = self._fed(packed)
        found = self._mapped(fed, self.target)
        images = unnormalised(self.model.data_preprocessor, fed.inputs.detach().float())
        shown = [rgb_of(image.cpu().numpy()) for image in fed.inside(images)]
        checks = self._checked(packed, found) if self.sanity else [()] * len(sources)
        rows = zip(sources, shown, found.maps, found.regions, checks, strict=True)
        return [
            replace(found.about, source=source, image=image, map=heat, region=region, checks=check)
            for source, image, heat, region, check in rows
        ]

    def _fed(self, packed: dict[str, Any]) -> Fed:
        """Return the input of the model. It needs a gradient, so that layers below frozen weights have one too."""
        sample, task = copy.deepcopy(packed["data_samples"]), self.inferencer.task
        if getattr(self.model, "heads", None) is not None:
            sample.set_metainfo({"heads": (task,)})  # heads of other tasks do not run
        data = self.model.data_preprocessor({"inputs": [packed["inputs"]], "data_samples": [sample]}, False)
        with torch.enable_grad():
            inputs = data["inputs"].detach().requires_grad_().clone()
        return Fed(self.model, inputs, data["data_samples"], task, self.thresholds)

    def _valued(self, fed: Fed, target: str | None, layer: Layer) -> tuple[Goal, list[Output]]:
        """Return the value with its graph, and the outputs of a layer on which it may depend."""
        with torch.enable_grad(), without_library_warnings(), Undetached(), watched(layer) as outputs:
            return self.task.goal(fed, target, self.inferencer.class_names), outputs

    def _mapped(self, fed: Fed, target: str | None) -> _Found:
        goal, outputs = self._valued(fed, target, self.layer)
        value, size = require_finite(goal.value), (fed.inputs.shape[2], fed.inputs.shape[3])
        (name, output), gradient = gradient_of(goal.value, outputs, self.layer)
        activations, gradients = (as_feature_map(each, size, self.layout, name) for each in (output, gradient))
        if len(activations) != len(fed.inputs):
            raise ConfigError(
                f"layer {name}",
                expected="one feature map for each image",
                found=f"{len(activations)} for {len(fed.inputs)}",
                advice="choose a layer before regions are cut from the image, such as backbone:-1",
            )
        places = grad_cam(activations, gradients, self.method)
        maps = enlarged_map(places, size, fed.size).float().cpu().numpy()
        about = Explanation(_NOWHERE, goal.said, value, layer=name, shape=tuple(activations.shape[1:]))
        return _Found(about, list(maps), _regions_of(goal, len(maps), fed.size), goal.again)

    def _checked(self, packed: dict[str, Any], found: _Found) -> list[tuple[RandomMap, ...]]:
        """Return the maps with random weights of each image."""
        stages = []
        for part in random_stages(self.model, str(self.sanity), self.seed):
            try:
                others = self._mapped(self._fed(packed), found.again).maps
            except InputError as error:  # random weights may find no such target, or give values that are not finite
                stages.append([RandomMap(part, error=error)] * len(found.maps))
            else:
                pairs = zip(found.maps, others, strict=True)
                stages.append([RandomMap(part, other, rank_correlation(own, other)) for own, other in pairs])
        return list(zip(*stages, strict=True))

    def sheet(self, found: Explanation) -> np.ndarray:
        """Return the input beside the heat map of an explanation and those with random weights, (H, W, 3) uint8 RGB."""
        channels, height, width = found.shape
        heat = "no place raises the value" if found.is_zero else "heat map"
        shown, lines = found.image.copy(), [f"as the model is fed, {found.image.shape[1]}x{found.image.shape[0]}"]
        if found.region.any():
            draw_outline(shown, found.region, _WHITE)
            lines.append("line: around what is explained")
        tiles = [Tile(shown, tuple(lines)), Tile(heated(found.image, found.map), (heat,))]
        tiles += [_tile_of(found.image, check) for check in found.checks]
        title = [
            f"{found.source.place}: {found.said}: {found.value:.4g}",
            f"{self.method}, layer {found.layer}, {channels} channels of {width}x{height} places",
            f"model {self.inferencer.name}, task {self.inferencer.task}",
        ]
        sheet = captioned_sheet(tiles, title, columns=4, side=_SIDE)
        return np.concatenate([sheet, colour_bar(sheet.shape[1], "least", "raises the value most")])


def _tile_of(image: np.ndarray, check: RandomMap) -> Tile:
    """Return the map with random weights, or the plain image without one."""
    drawn = image if check.map is None else heated(image, check.map)
    return Tile(drawn, (f"random weights up to {check.part}", check.said))


def _regions_of(goal: Goal, images: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Return where the target is in each image, in pixels of the input without padding."""
    if goal.region is None:
        return [np.zeros(size, bool)] * images
    region = goal.region.detach().float().reshape(images, *goal.region.shape[-2:])
    return list(F.adaptive_max_pool2d(region, size).cpu().numpy() > 0)  # the largest, so that thin lines stay
