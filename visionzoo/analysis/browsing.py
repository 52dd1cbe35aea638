"""``visionzoo browse``: a contact sheet of what a model is really fed, with the truth drawn."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from visionzoo.analysis.fed_images import rgb_of
from visionzoo.config import LoadedConfig
from visionzoo.config.data_parts import joint_data_sets, tasks_of
from visionzoo.datasets.transforms.providing import provided_by
from visionzoo.engine.loaders import build_loader
from visionzoo.engine.numbering import Numbered, build_numbered
from visionzoo.engine.run_options import RunOptions, apply_options
from visionzoo.engine.workers import explained
from visionzoo.errors import ConfigError, counted, some_of
from visionzoo.models.class_counts import ClassCounts, counts_by_task
from visionzoo.models.preprocessing import TaskPreprocessor, unnormalised
from visionzoo.models.wiring import fill_model
from visionzoo.registry import MODELS
from visionzoo.reports.captioned_sheets import Tile, captioned_sheet, hatched
from visionzoo.reports.images import class_colour, enlarged, letter_height, magnified
from visionzoo.structures.task_sample import is_of_task
from visionzoo.tasks import Task, task_of

_SIDE, _LETTERS = 300, 13  # pixels of a tile and of letters in it
_MOST_CLASSES = 40  # classes of the legend
_SHORT = 5  # letters of a name to which its folders are added
_MOVES = ("Resize", "Crop", "Scale", "Pad", "Affine", "Flip", "Rotate")  # words in the names of transforms


@dataclass
class Sheet:
    """A contact sheet and the facts that it shows.

    Attributes:
        tiles: the images with their captions.
        samples: number of samples that are shown.
        of: number of samples of the split.
        classes: number of objects by class that are shown.
        fed: least and largest value of the inputs after normalisation.
        pixels: the same before normalisation.
        without_truth: number of images without ground truth.
        has_padding: True if an image has padding.
    """

    tiles: list[Tile] = field(default_factory=list)
    samples: int = 0
    of: int = 0
    classes: Counter[int] = field(default_factory=Counter)
    fed: tuple[float, float] = (float("inf"), float("-inf"))
    pixels: tuple[float, float] = (float("inf"), float("-inf"))
    without_truth: int = 0
    has_padding: bool = False


def browse(
    loaded: LoadedConfig, split: str = "train", number: int = 24, seed: int | None = None
) -> tuple[np.ndarray, list[str]]:
    """Return a contact sheet of the first batches of a loader, and its facts as sentences.

    Args:
        loaded: the config.
        split: ``train``, ``val`` or ``test``.
        number: number of images.
        seed: seed of the order and of the transforms; None for that of the config.

    Returns:
        (H, W, 3) uint8 RGB, and the lines of its title.

    Raises:
        ConfigError: the config has no such split.
        DataError: a data set or sample cannot be read.

    Example:
        >>> from visionzoo.config import load_config
        >>> sheet, facts = browse(load_config("rcnet_retinanet", tiny=True), number=2)
        >>> sheet.shape[2], facts[0].partition(":")[0]
        (3, 'rcnet_retinanet, train')
    """
    cfg = loaded.cfg
    if cfg.get(f"{split}_dataloader") is None:
        have = ", ".join(each for each in ("train", "val", "test") if cfg.get(f"{each}_dataloader")) or "none"
        raise ConfigError(
            loaded.source, expected=f"{split}_dataloader", found=f"data for {have}", advice="choose another --split"
        )
    apply_options(cfg, RunOptions(seed=seed), loaded.name)
    splits = [split] if split == "train" or cfg.get("train_dataloader") is None else ["train", split]
    data = build_numbered(cfg, splits)
    preprocessor = _preprocessor(loaded, data, data.datasets[splits[0]])
    loader = _loader(cfg, split, data.datasets[split])
    shown = {name: data.classes_of(name) for name in tasks_of(cfg)}
    sheet = _sheet(loader, preprocessor, shown, cfg, split, number)
    sheet.of = len(data.datasets[split])
    title = _title(sheet, loaded.name, split, int(cfg.randomness.seed), data.classes)
    legend = [(_name(label, data.classes), class_colour(label)) for label in sorted(sheet.classes)[:_MOST_CLASSES]]
    return captioned_sheet(sheet.tiles, title, legend if data.classes else ()), title


def _preprocessor(loaded: LoadedConfig, data: Numbered, dataset: Any) -> nn.Module | None:
    counts: Any = counts_by_task(dataset.metainfo) if data.by_task else None
    if data.classes is not None:
        stated = ClassCounts.of(dataset.metainfo)
        is_whole = stated is not None and stated.total == len(data.classes)
        counts = stated if is_whole else ClassCounts(len(data.classes))
    model = fill_model(loaded.cfg.model, replaced=loaded.replaced, num_classes=counts)
    part = model.get("data_preprocessor")
    return None if part is None else MODELS.build(copy.deepcopy(dict(part)))


def _loader(cfg: Mapping[str, Any], split: str, dataset: Any) -> DataLoader:
    settings = {**cfg[f"{split}_dataloader"], "num_workers": 0, "persistent_workers": False}
    mp_cfg = (cfg.get("env_cfg") or {}).get("mp_cfg")
    loader = build_loader(settings, dataset, seed=int(cfg["randomness"]["seed"]), mp_cfg=mp_cfg)
    if len(loader) == 0:  # fewer samples than a batch, as in a run
        settings["batch_size"] = len(dataset)
        loader = build_loader(settings, dataset, seed=int(cfg["randomness"]["seed"]), mp_cfg=mp_cfg)
    return loader


def _sheet(
    loader: DataLoader,
    preprocessor: nn.Module | None,
    tasks: Mapping[str, Sequence[str] | None],
    cfg: Mapping[str, Any],
    split: str,
    number: int,
) -> Sheet:
    sheet = Sheet()
    dataset = cfg[f"{split}_dataloader"]["dataset"]
    by_task = joint_data_sets(dataset)
    is_moved = {name: split == "train" or _truth_is_moved(by_task.get(name, dataset)) for name in tasks}
    with explained():
        for batch in loader:
            for fed, sample in _fed_samples(batch, preprocessor, training=split == "train", sheet=sheet):
                if len(sheet.tiles) >= number:
                    return sheet
                sheet.samples += 1
                for name, classes in tasks.items():
                    if is_of_task(sample, name):
                        _add(sheet, fed, sample, task_of(name), classes, is_moved=is_moved[name])
            if len(sheet.tiles) >= number:
                break
    return sheet


def _truth_is_moved(dataset: Mapping[str, Any]) -> bool:
    """Return True if the pipeline loads the truth before it changes the geometry of the image."""
    while isinstance(dataset.get("dataset"), Mapping):
        dataset = dataset["dataset"]
    steps = list(dataset.get("pipeline") or ())
    moves = [place for place, step in enumerate(steps) if any(word in f"{step.get('type')}" for word in _MOVES)]
    loads = [place for place, step in enumerate(steps) if any(key.startswith("gt_") for key in provided_by(step) or ())]
    return not moves or (bool(loads) and min(loads) < max(moves))


def _fed_samples(
    batch: Mapping[str, Any], preprocessor: nn.Module | None, *, training: bool, sheet: Sheet
) -> Iterator[tuple[Tensor, Any]]:
    """Yield the images of each sample as fed, (G, C, *S) before normalisation, and the sample."""
    samples = list(batch["data_samples"])
    before = copy.deepcopy(samples)  # other preprocessors pad the truth of their samples
    data = batch if preprocessor is None else preprocessor(batch, training)
    inputs = data["inputs"]
    inputs = torch.stack(list(inputs)) if isinstance(inputs, list | tuple) else inputs
    inputs = inputs.float()
    plain = inputs if preprocessor is None else unnormalised(preprocessor, inputs)
    sheet.fed, sheet.pixels = _widened(sheet.fed, inputs), _widened(sheet.pixels, plain)
    kept = samples if isinstance(preprocessor, TaskPreprocessor) else before
    start = 0
    for sample in kept:
        images = plain[start : start + int(sample.metainfo.get("group_size", 1))]
        start += len(images)
        yield images, sample


def _widened(span: tuple[float, float], values: Tensor) -> tuple[float, float]:
    return min(span[0], float(values.min())), max(span[1], float(values.max()))


def _add(sheet: Sheet, fed: Tensor, sample: Any, task: Task, classes: Sequence[str] | None, *, is_moved: bool) -> None:
    """Add the images of one sample."""
    whole = task.fed(fed.numpy(), sample)
    if whole is not None:
        sheet.tiles.append(Tile(whole, _caption(sample, 0, fed.shape[2:], ())))
        return
    members = task.members(sample) if len(fed) > 1 else [sample]
    for number, (image, member) in enumerate(zip(fed, members, strict=False)):
        sheet.tiles.append(_tile(sheet, image, member, sample, number, task, classes, is_moved=is_moved))


def _tile(
    sheet: Sheet,
    image: Tensor,
    member: Any,
    sample: Any,
    number: int,
    task: Task,
    classes: Sequence[str] | None,
    *,
    is_moved: bool,
) -> Tile:
    pixels, (height, width) = rgb_of(image.numpy()), _size_of(sample, image.shape[1:])
    original = _original(sample, number)
    lines: tuple[str, ...] = ()
    if task.is_placed and not is_moved and original is not None and original != (height, width):
        lines = (f"shown at the original size {original[1]}x{original[0]}",)
        tall, wide = (round(pixels.shape[axis] * original[axis] / side) for axis, side in enumerate((height, width)))
        pixels = np.asarray(Image.fromarray(pixels).resize((wide, tall)))
        height, width = original
    truth = task.truth(member, (width, height), classes)
    scale = max(1, _SIDE // max(pixels.shape[:2]))
    inner = np.ascontiguousarray(pixels[:height, :width])
    if truth is None:
        drawn, lines = inner.repeat(scale, 0).repeat(scale, 1), (*lines, "no ground truth")
        sheet.without_truth += 1
    else:
        drawn = _drawn(task, inner, truth, scale, max(pixels.shape[:2]))
        lines = (*lines, *_about(sheet, truth, classes))
    if pixels.shape[:2] != (height, width):
        sheet.has_padding = True
        drawn = _on_canvas(pixels, drawn, (height, width), scale)
    return Tile(drawn, _caption(sample, number, image.shape[1:], lines))


def _drawn(task: Task, image: np.ndarray, truth: Any, scale: int, longest: int) -> np.ndarray:
    """Draw the truth with letters that remain readable after ``longest`` pixels of the input are reduced to a tile."""
    reduction = _SIDE / (scale * longest)
    with magnified(max(1.0, _LETTERS / (reduction * letter_height(enlarged(image, scale))))):
        return task.draw(image, truth, scale)


def _on_canvas(pixels: np.ndarray, drawn: np.ndarray, size: tuple[int, int], scale: int) -> np.ndarray:
    """Put the drawn image into the padded input, and mark the padding; a panel below the image stays below it."""
    canvas = hatched(pixels.repeat(scale, 0).repeat(scale, 1), scale * size[0], scale * size[1])
    inside, panel = drawn[: scale * size[0]], drawn[scale * size[0] :]
    canvas[: inside.shape[0], : inside.shape[1]] = inside
    if not len(panel):
        return canvas
    wide = np.full((len(panel), canvas.shape[1], 3), 255, np.uint8)
    wide[:, : panel.shape[1]] = panel
    return np.concatenate([canvas, wide])


def _size_of(sample: Any, padded: Sequence[int]) -> tuple[int, int]:
    height, width = tuple(sample.metainfo.get("img_shape") or padded)[:2]
    return min(int(height), int(padded[0])), min(int(width), int(padded[1]))


def _original(sample: Any, number: int) -> tuple[int, int] | None:
    shape = sample.metainfo.get("ori_shape")
    if shape is None:
        return None
    shape = shape[number] if isinstance(shape[0], list | tuple) else shape
    return int(shape[0]), int(shape[1])


def _about(sheet: Sheet, truth: Any, classes: Sequence[str] | None) -> tuple[str, ...]:
    """Count the classes of a result, and return its caption."""
    labels = list(truth.shares) if hasattr(truth, "shares") else getattr(truth, "labels", ())
    counts = Counter(int(label) for label in labels)
    sheet.classes.update(counts)
    phrase = getattr(truth, "phrase", "")
    names = [_name(label, classes) + (f" {count}" if count > 1 else "") for label, count in counts.items()]
    text = phrase or some_of(names, most=4)
    is_empty = hasattr(truth, "__len__") and not len(truth)
    return (text,) if text else ("no object",) if is_empty else ()


def _name(label: int, classes: Sequence[str] | None) -> str:
    return classes[label] if classes and label < len(classes) else f"{label}"


def _caption(sample: Any, number: int, padded: Sequence[int], lines: Sequence[str]) -> tuple[str, ...]:
    about = sample.metainfo
    path = about.get("img_path")
    path = path[number] if isinstance(path, list | tuple) else path
    name = f"sample {about.get('sample_idx', '')}" if path is None else _short(f"{path}")
    lines = (f"group {about['group']}", *lines) if "group" in about else lines
    shape = about.get("img_shape") or padded
    sizes = _by(shape) if tuple(shape) == tuple(padded) else f"{_by(shape)}, padded to {_by(padded)}"
    return (name, sizes, *lines)


def _short(path: str) -> str:
    """Return the file name; with its folders if this name is short, as in data sets of video frames."""
    name = os.path.basename(path)
    return name if len(os.path.splitext(name)[0]) > _SHORT else "/".join(path.split(os.sep)[-3:])


def _by(shape: Sequence[int]) -> str:
    """Return a shape as text: width x height for an image, the order of the axes for a volume."""
    return "x".join(str(int(side)) for side in (reversed(shape) if len(shape) == 2 else shape))


def _range(low: float, high: float) -> str:
    """Return the range of values as text; what only rounding leaves of a zero is 0.

    Example:
        >>> _range(-7.6e-06, 255.0)
        '0 to 255'
    """
    least = 1e-6 * max(abs(low), abs(high))
    low, high = (0.0 if abs(value) < least else value for value in (low, high))
    return f"{low:.4g} to {high:.4g}"


def _title(sheet: Sheet, name: str, split: str, seed: int, classes: Sequence[str] | None) -> list[str]:
    lines = [f"{name}, {split}: {sheet.samples:,} of {counted(sheet.of, 'sample')} as the model is fed; seed {seed}"]
    values = [_range(*each) for each in (sheet.fed, sheet.pixels)]
    lines.append(f"input values: {values[0]}; before normalisation {values[1]}")
    facts = ["hatched: padding"] if sheet.has_padding else []
    if classes and sheet.classes:
        absent = len(classes) - len(sheet.classes)
        every = f"all {len(classes)} classes" if len(classes) > 1 else f"the only class {classes[0]}"
        facts.append(f"{len(sheet.classes)} of {len(classes)} classes" if absent else every)
    facts += [f"{counted(sheet.without_truth, 'image')} without ground truth"] if sheet.without_truth else []
    return [*lines, "; ".join(facts)] if facts else lines
