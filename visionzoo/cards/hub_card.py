"""The card of a trained model on the Hugging Face Hub: made from the card of its config and the facts of its run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
import yaml

from visionzoo._version import __version__
from visionzoo.cards.files import Card, read_card, read_copied_card
from visionzoo.config import LoadedConfig, load_config
from visionzoo.config.runs import facts_of
from visionzoo.errors import CardError, some_of
from visionzoo.front_matter import card_names
from visionzoo.models.wiring import build_model
from visionzoo.weights.downloads import file_sha256
from visionzoo.weights.hub import CARD, WEIGHTS, HubAddress
from visionzoo.weights.weight_file import WeightFile, read_weight_file

_RUN = "training"  # id of the run in the card


@dataclass(frozen=True)
class Size:
    """Number of all and of trained parameters of a model.

    Example:
        >>> Size(3, 2).params
        3
    """

    params: int
    trainable: int


def hub_card(run: Path, address: HubAddress, weights: Path, license: str) -> str:
    """Return the text of the card for the model of a run.

    Args:
        run: the folder of the run.
        address: the repository on the Hub.
        weights: the file to publish.
        license: licence of the weights, in the spelling of the Hub.

    Raises:
        CardError: the config of the run has no card.
    """
    facts, loaded = facts_of(run), load_config(run)
    name = str(facts.get("name"))
    if name not in card_names():
        raise CardError(
            run,
            expected="the run of a model that has a card",
            found=f"one of {name}",
            advice=f"write model_cards/{name}.md in a plugin",
        )
    base, file = read_card(name), read_weight_file(weights)
    front = _front_matter(base, loaded, facts, file, license)
    front["visionzoo"]["weights"] = [_entry(address, weights, license, facts)]
    results = _results(base, run)
    front["model-index"] = [{"name": name, "results": results}]
    front["visionzoo"]["runs"] = {_RUN: run_facts(facts)} if results else {}
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n{_body(base, address, file)}"


def size_of(loaded: LoadedConfig, file: WeightFile) -> Size:
    """Return the size of the model of a config for the classes of a file of weights; no memory is allocated."""
    classes = len(file.classes) if file.classes else None
    with torch.device("meta"):
        model = build_model(loaded.cfg.model, replaced=loaded.replaced, num_classes=classes)
    counts = [(each.numel(), each.requires_grad) for each in model.parameters()]
    return Size(sum(number for number, _ in counts), sum(number for number, trained in counts if trained))


def require_hub_card(folder: Path) -> Card:
    """Read the card of a model that was fetched from the Hub, and compare it with the model.

    Args:
        folder: see :func:`visionzoo.weights.hub_model.hub_model`, which compared the sha256 of the weights.

    Raises:
        CardError: the card violates the schema, or states another number of parameters than the model has.
    """
    card = read_copied_card(folder / CARD)
    size = size_of(load_config(folder), read_weight_file(folder / WEIGHTS))
    stated = card.zoo.compute
    if (stated.params, stated.trainable) != (size.params, size.trainable):
        raise CardError(
            folder / CARD,
            expected=f"{stated.params} parameters, {stated.trainable} trained",
            found=f"{size.params} and {size.trainable} in its model",
            advice="push it again",
        )
    return card


def _front_matter(
    base: Card, loaded: LoadedConfig, facts: Mapping[str, Any], file: WeightFile, license: str
) -> dict[str, Any]:
    zoo = base.zoo.model_dump(by_alias=True, mode="json", exclude_none=True)
    size, known = size_of(loaded, file), file.classes or ()
    zoo |= {
        "headline": False,
        "status": "trained here",
        "licenses": {**zoo["licenses"], "weights": license, "data": "that of the data it was trained on"},
        "compute": {
            "params": size.params,
            "trainable": size.trainable,
            "at": f"{len(known)} classes" if known else base.zoo.compute.at,
        },
        "runs": {},
        "checks": [{"kind": "build"}],
        "exports": [],
        "limits": [
            f"It was trained by its owner with the classes {some_of(known, 20)}." if known else "Trained by its owner.",
            *(["It is the tiny variant, made for tests."] if facts.get("tiny") else []),
        ],
    }
    return {
        "license": license,
        "pipeline_tag": base.fields.pipeline_tag,
        "library_name": "visionzoo",
        "tags": list(dict.fromkeys([*base.fields.tags, "visionzoo"])),
        "datasets": ["custom"],
        "model-index": [],
        "visionzoo": zoo,
    } | ({"base_model": base.fields.base_model} if base.fields.base_model else {})


def _entry(address: HubAddress, weights: Path, license: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": "model",
        "url": f"{HubAddress(address.repo, None, WEIGHTS)}",
        "bytes": weights.stat().st_size,
        "sha256": file_sha256(weights),
        "checked_by": "sha256",
        "format": {},
        "for": "model",
        "license": license,
        "provenance": f"trained by {_command(facts)}",
    }


def _results(base: Card, run: Path) -> list[dict[str, Any]]:
    """Return the numbers in ``metrics.json`` of a run as results of the model-index; none without that file."""
    try:
        measured = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    except (OSError, ValueError, KeyError):
        return []
    known = {metric.type: metric for origin in ("paper", "measured") for _, metric in base.numbers(origin)}
    metrics = [
        {
            "type": name,
            "name": known[name].name if name in known else name,
            "value": float(value),
            "args": {"origin": "measured", "unit": known[name].args.unit if name in known else "see name", "run": _RUN},
        }
        for name, value in measured.items()
        if isinstance(value, int | float)
    ]
    task = {"type": base.fields.pipeline_tag, "name": base.task}
    data = {"name": "data of its owner", "type": "custom", "split": "val"}
    return [{"task": task, "dataset": data, "metrics": metrics}] if metrics else []


def run_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run of a card from the facts of a training."""
    commit = re.search(r"(?<![0-9a-z])g?([0-9a-f]{7,40})(?![0-9a-z])", str(facts.get("git") or ""))
    started = str(facts.get("started") or "")[:10]
    return {
        "command": _command(facts),
        "date": date.fromisoformat(started) if started else date.today(),
        **({"commit": commit[1]} if commit else {"version": __version__}),
        "hardware": f"{facts.get('device') or 'an unknown device'}",
    }


def _command(facts: Mapping[str, Any]) -> str:
    return shlex.join(map(str, facts.get("command") or ["visionzoo", "train"]))


def _body(base: Card, address: HubAddress, file: WeightFile) -> str:
    classes = f"\nClasses: {some_of(file.classes, 100)}.\n" if file.classes else ""
    return f"""# {base.summary}

A model of [visionzoo](https://pypi.org/project/visionzoo/), trained with the config `{base.name}`.
{classes}
```python
import visionzoo

model = visionzoo.get_model("{address}")
```

```sh
visionzoo infer {address} images/
```
"""
