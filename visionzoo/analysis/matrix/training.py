"""One training step of a model, and which of its parameters learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from visionzoo.errors import RunFailed, counted, some_of
from visionzoo.registry import MODELS, SCOPE

_RATE = 1e-4  # of the one step, so small that it only shows that the step is possible

# Parts of a model that the matrix does not ask to learn.
_APART = ("text_encoder.", "data_preprocessor.")

_PHRASE = "the left one"


def train_step(model: Any, batch: Any, whole_backbone: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Train one step.

    Args:
        model: the model; its weights change.
        batch: a training batch as the loader returns it.
        whole_backbone: config of the backbone with all its maps, if the model uses only some of them.

    Returns:
        ``loss``, and ``note`` if parameters of the trunk have no gradient because the head does not read their maps.

    Raises:
        RunFailed: the loss or a gradient is not finite, or a parameter has no gradient for another reason.
    """
    model.train()
    with _maps_of_trunk(model) as maps:
        data = model.data_preprocessor(with_phrases(model, batch), True)
        loss, losses = model.parse_losses(model(**data, mode="loss"))
    value = float(loss.detach())
    if not isfinite(value):
        terms = some_of((f"{name} {float(term.detach()):g}" for name, term in losses.items()), 6)
        raise RunFailed(f"the loss is {value}: {terms}")
    loss.backward(retain_graph=True)
    note = _require_gradients(model, maps, _Whole(whole_backbone, data["inputs"]))
    torch.optim.SGD(model.parameters(), lr=_RATE).step()
    return {"loss": float(f"{value:.4g}")} | ({"note": note} if note else {})


def with_phrases(model: Any, batch: Any) -> Any:
    """Return a batch whose samples have a phrase if the model has a text encoder."""
    if getattr(model, "text_encoder", None) is not None:
        for sample in batch["data_samples"]:
            if "phrase" not in sample.metainfo:
                sample.set_metainfo({"phrase": _PHRASE})
    return batch


@contextmanager
def _maps_of_trunk(model: Any) -> Iterator[list[Sequence[Tensor]]]:
    """Yield the list of the feature maps of each pass through the trunk. Their gradients are kept."""
    calls: list[Sequence[Tensor]] = []

    def keep(part: nn.Module, inputs: Any, outputs: Any) -> None:
        maps = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        for one in maps:
            if one.requires_grad:
                one.retain_grad()
        calls.append(maps)

    trunk = model.neck if getattr(model, "with_neck", False) else model.backbone
    handle = trunk.register_forward_hook(keep)
    try:
        yield calls
    finally:
        handle.remove()


@dataclass(frozen=True)
class _Whole:
    """A backbone that returns all its maps.

    Attributes:
        cfg: its config; None if the backbone of the model returns all of them.
        inputs: images of a batch.
    """

    cfg: Mapping[str, Any] | None
    inputs: Tensor

    def learning(self) -> set[str]:
        """Return the names of the parameters on which its maps depend; none without a config."""
        if self.cfg is None:
            return set()
        with DefaultScope.overwrite_default_scope(SCOPE):
            part: Any = MODELS.build(ConfigDict(self.cfg)).train()
        sum(one.sum() for one in part(self.inputs)).backward()
        return {f"backbone.{name}" for name, value in part.named_parameters() if value.grad is not None}


def _require_gradients(model: nn.Module, calls: list[Sequence[Tensor]], whole: _Whole) -> str:
    """Return which parameters have no gradient because nothing reads their maps, as a sentence; empty if all have one.

    Raises:
        RunFailed: a parameter has no gradient for another reason, or one that is not finite.
    """
    trained = {
        name: value for name, value in model.named_parameters() if value.requires_grad and not name.startswith(_APART)
    }
    broken = [name for name, value in trained.items() if value.grad is not None and not value.grad.isfinite().all()]
    if broken:
        raise RunFailed(f"{counted(len(broken), 'tensor')} with a gradient that is not finite: {some_of(broken, 4)}")
    without = {name: value for name, value in trained.items() if value.grad is None}
    if not without:
        return ""
    unread = _unread(calls)
    silent = set(_without_influence(without, unread))
    if silent and (dead := sorted(silent - whole.learning())):
        raise RunFailed(f"{counted(len(dead), 'tensor')} of {len(trained)} get no gradient: {some_of(dead, 4)}")
    return _note(len(without), len(trained), sorted({level for level, _ in unread}))


def _note(without: int, trained: int, levels: Sequence[int]) -> str:
    maps = f"{'map' if len(levels) == 1 else 'maps'} {some_of(map(str, levels), 8)} of the trunk (0 is the finest)"
    read = f"does not read {maps}" if levels else "reads one map of the backbone"
    return f"The head {read}, so {counted(without, 'tensor')} of {trained} get no gradient."


def _unread(calls: list[Sequence[Tensor]]) -> list[tuple[int, Tensor]]:
    """Return level and map of the maps that no call of the head reads."""
    used = {level for maps in calls for level, one in enumerate(maps) if one.grad is not None}
    return [(level, one) for maps in calls for level, one in enumerate(maps) if level not in used and one.requires_grad]


def _without_influence(without: Mapping[str, Tensor], unread: list[tuple[int, Tensor]]) -> list[str]:
    """Return the names of the parameters on which no unread map depends."""
    if not unread:
        return list(without)
    total = torch.stack([one.sum() for _, one in unread]).sum()
    gradients = torch.autograd.grad(total, list(without.values()), allow_unused=True)
    return [name for name, gradient in zip(without, gradients, strict=True) if gradient is None]
