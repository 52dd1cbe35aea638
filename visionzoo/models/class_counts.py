"""Class counts of a model, filled in from its data, so that a config does not state them.

Data sets for panoptic segmentation distinguish things and stuff: the things have the first labels, the stuff the
following ones. Which count an argument of a part takes follows from the name of the argument, and from
:attr:`Part.classes <visionzoo.config.parts.Part>` of the place of the part in the model:

- ``num_things_classes`` and ``num_stuff_classes``: things and stuff. Either may be 0.
- ``num_classes``: all classes, or the things only for parts that find objects.
- ``loss_cls.class_weight`` of a head with things and stuff: one weight per class, and one for no object.

A part whose ``num_classes`` follows from nothing gets the ``USUAL_CLASSES`` of its class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmengine.config import ConfigDict

from visionzoo.config.parts import AUXILIARY_HEAD, FUSION_HEAD, HEAD, THINGS, Part
from visionzoo.config.signatures import default_of
from visionzoo.errors import ConfigError, DataError, some_of
from visionzoo.models.library_heads import finds_objects
from visionzoo.models.part_configs import dense_heads, fill, listed, name_of, parts_in, resolved, roi_heads, takes
from visionzoo.structures.task_sample import TASKS

# Numbers of classes if config, data set and checkpoint state none: those of COCO for mmdet, of ADE20K for mmseg.
_COCO_CLASSES, _COCO_STUFF, _ADE20K_CLASSES = 80, 53, 150

# Weight of the class "no object" in the loss of heads with queries.
_NO_OBJECT_WEIGHT = 0.1

# mmdet's largest number of instances of an image.
_INSTANCES = 100


@dataclass(frozen=True)
class ClassCounts:
    """Numbers of classes of a data set.

    Attributes:
        total: number of all classes, >= 0.
        things: how many of them, the first ones, are things; None if the data does not distinguish things and stuff.

    Example:
        >>> counts = ClassCounts.of({"classes": ["cat", "sky"], "thing_classes": ["cat"], "stuff_classes": ["sky"]})
        >>> counts.things, counts.stuff, ClassCounts(5).stuff
        (1, 1, None)
    """

    total: int
    things: int | None = None

    @property
    def stuff(self) -> int | None:
        """Number of stuff classes; None if the data does not distinguish things and stuff."""
        return None if self.things is None else self.total - self.things

    @property
    def of_objects(self) -> int:
        """Number of classes of objects: the things, or all classes if the data does not distinguish."""
        return self.total if self.things is None else self.things

    @classmethod
    def of(cls, meta: Any) -> ClassCounts | None:
        """Return the counts in the metainfo of a data set or checkpoint; None if it has no classes.

        Raises:
            DataError: ``classes`` are not the things followed by the stuff.
        """
        names = meta.get("classes") if isinstance(meta, Mapping) else None
        if not names or isinstance(names, str):
            return None
        if meta.get("thing_classes") is None or meta.get("stuff_classes") is None:
            return cls(len(names))
        things, stuff = (tuple(meta[key]) for key in ("thing_classes", "stuff_classes"))
        if (*things, *stuff) != tuple(names):
            raise DataError(
                "metainfo.classes",
                expected=f"the things, then the stuff ({some_of((*things, *stuff), 6)})",
                found=some_of(names, 6),
                advice="order classes, thing_classes and stuff_classes alike",
            )
        return cls(len(names), len(things))


def counts_by_task(meta: Any) -> dict[str, ClassCounts]:
    """Return the counts of each task in the metainfo of a joint data set, or of a checkpoint of several tasks.

    Tasks without classes are left out; the result is empty for data of one task.

    Raises:
        DataError: the ``classes`` of a task are not its things followed by its stuff.

    Example:
        >>> counts_by_task({"tasks": {"lanes": {}, "detection": {"classes": ["car", "bus"]}}})
        {'detection': ClassCounts(total=2, things=None)}
    """
    by_task = meta.get(TASKS) if isinstance(meta, Mapping) else None
    found = {task: ClassCounts.of(own) for task, own in by_task.items()} if isinstance(by_task, Mapping) else {}
    return {task: counts for task, counts in found.items() if counts is not None}


# The counts of one data set, or those of the data set of each task, whose name is that of a head.
Counts = ClassCounts | Mapping[str, ClassCounts] | None


def as_counts(classes: int | Counts) -> Counts:
    """Return a number of classes as :class:`ClassCounts`."""
    return ClassCounts(classes) if isinstance(classes, int) else classes


def fill_class_counts(model: ConfigDict, given: Counts) -> None:
    """Fill in the class counts of all heads of a model.

    Args:
        model: the ``model`` of a config. It is changed.
        given: those of the data, or of the data of each task; None if they are unknown. Then auxiliary heads get the
            number of the main head.

    Raises:
        ConfigError: a head has a number that differs from that of its data set, or an argument for classes that it does
            not use. Data that do not name their task do not decide the number of one of several ``heads``.
    """
    main = model.get("head") or model.get("decode_head")
    stated = main.get("num_classes") if isinstance(main, Mapping) else None
    for path, head, part in _heads(model):
        counts = given.get(_name_in_heads(path)) if isinstance(given, Mapping) else given
        if isinstance(given, Mapping):
            part = replace(part, named=False)  # the counts are those of this head
        if takes(head, "num_things_classes"):
            _fill_things_and_stuff(head, counts, path)
            _fill_class_weight(head, path)
        elif takes(head, "num_classes"):
            _fill_one_number(head, part, counts, stated if part.kind == AUXILIARY_HEAD else None, path)
    _fill_fusion(model)
    _fill_batch_augments(model)


def _name_in_heads(path: str) -> str:
    """Return the name of the head at a path, or of the head around it; empty outside of ``heads``."""
    start = "model.heads."
    return path.removeprefix(start).partition(".")[0] if path.startswith(start) else ""


def _heads(model: ConfigDict) -> Iterator[tuple[str, ConfigDict, Part]]:
    """Yield path, config and part of each head with classes. Proposal heads have none."""
    yield from ((path, head, part) for path, head, part in dense_heads(model) if part.classes is not None)
    for at, roi_head, part in roi_heads(model):
        for name in ("bbox_head", "mask_head"):
            for path, head in listed(roi_head.get(name), f"{at}.{name}"):
                yield path, head, Part(HEAD, named=part.named, classes=THINGS)


def _fill_one_number(
    head: ConfigDict, part: Part, counts: ClassCounts | None, of_main_head: int | None, path: str
) -> None:
    kind = resolved(head)
    of_library = _ADE20K_CLASSES if kind.__module__.startswith("mmseg.") else _COCO_CLASSES
    usual = of_main_head or getattr(kind, "USUAL_CLASSES", of_library)
    of_objects = part.classes == THINGS or finds_objects(kind)
    count = None if counts is None else counts.of_objects if of_objects else counts.total
    given = head.setdefault("num_classes", count or usual)
    # Each of several ``heads`` can have another data set, and therefore another number of classes.
    if count is not None and given != count and not part.named:
        raise _other_count(path, "num_classes", f"the data set's {count} classes", given)


def _other_count(path: str, name: str, expected: str, found: Any) -> ConfigError:
    return ConfigError(
        f"{path}.{name}",
        expected=expected,
        found=f"{found}",
        advice=f"leave {name} out, or give the data set the matching classes",
    )


# --------------------------------------------------------------------------- things and stuff


def _fill_things_and_stuff(head: ConfigDict, counts: ClassCounts | None, path: str) -> None:
    if head.get("num_classes") is not None:
        raise ConfigError(
            f"{path}.num_classes",
            expected=f"num_things_classes and num_stuff_classes for {name_of(head)}",
            found=f"num_classes={head.num_classes}",
            advice="leave all three out, which are then filled in from the data set",
        )
    stated = head.get("num_things_classes"), head.get("num_stuff_classes")
    for name, kind, given, count in zip(_NAMES, ("things", "stuff"), stated, _things_and_stuff(counts, *stated)):
        if given is not None and given != count:
            raise _other_count(path, name, f"the data set's {count} classes of {kind}", given)
        head[name] = count


_NAMES = ("num_things_classes", "num_stuff_classes")


def _things_and_stuff(counts: ClassCounts | None, things: int | None, stuff: int | None) -> tuple[int, int]:
    """Return the numbers of things and stuff of a head.

    Args:
        counts: those of the data. If it does not distinguish, what the config states decides, and all
            classes are things if the config states nothing.
        things, stuff: what the config states.
    """
    if counts is None:
        return (_COCO_CLASSES if things is None else things), (_COCO_STUFF if stuff is None else stuff)
    if counts.things is not None:
        return counts.things, counts.total - counts.things
    if things is not None:
        return min(things, counts.total), max(counts.total - things, 0)
    return max(counts.total - (stuff or 0), 0), min(stuff or 0, counts.total)


def _fill_class_weight(head: ConfigDict, path: str) -> None:
    """Set the class weights of the loss of a head with queries, whose default is for the classes of COCO."""
    loss = head.get("loss_cls")
    if loss is None:
        loss = default_of(resolved(head), "loss_cls")
        if not isinstance(loss, Mapping) or "class_weight" not in loss:
            return
        # mmdet's defaults have no scope
        head.loss_cls = ConfigDict(loss, type=f"mmdet.{loss['type']}", class_weight=None)
    count = head.num_things_classes + head.num_stuff_classes
    given = head.loss_cls.get("class_weight")
    if given is None:
        head.loss_cls.class_weight = [1.0] * count + [_NO_OBJECT_WEIGHT]
    elif isinstance(given, Sequence) and len(given) != count + 1:
        raise ConfigError(
            f"{path}.loss_cls.class_weight",
            expected=f"{count + 1} weights, one for each of {count} classes and one for no object",
            found=f"{len(given)}",
            advice="leave class_weight out, which is then filled in",
        )


def _fill_fusion(model: ConfigDict) -> None:
    """Give the part that joins masks to a panoptic map the counts of the head, and mmdet's limit of instances."""
    heads = [head for _, head, _ in dense_heads(model) if head.get("num_stuff_classes") is not None]
    for path, fusion, part in parts_in(model):
        if heads and part.kind == FUSION_HEAD:
            for name in (name for name in _NAMES if takes(fusion, name)):
                fill(fusion, name, heads[0][name], name_of(heads[0]), path)
            _limit_instances(model, heads[0])


def _limit_instances(model: ConfigDict, head: ConfigDict) -> None:
    """Lower the limit of instances to the number of pairs of a query and a class. mmdet fails above it."""
    queries = head.get("num_queries", default_of(resolved(head), "num_queries"))
    if not isinstance(queries, int):
        return
    most = queries * (head.num_things_classes + head.num_stuff_classes)
    if model.get("test_cfg") is None:
        model.test_cfg = ConfigDict()
    if model.test_cfg.get("max_per_image", _INSTANCES) > most:
        model.test_cfg.max_per_image = most


# --------------------------------------------------------------------------- batch augmentations


def _fill_batch_augments(model: ConfigDict) -> None:
    """Set ``num_classes`` of the batch augmentations, which mix images, to that of the head."""
    count = (model.get("head") or {}).get("num_classes")
    if count is None:
        return
    for path, augment in listed((model.get("data_preprocessor") or {}).get("batch_augments"), "batch_augments"):
        if takes(augment, "num_classes") and augment.setdefault("num_classes", count) != count:
            raise ConfigError(
                f"model.data_preprocessor.{path}.num_classes",
                expected=f"the head's {count} classes",
                found=f"{augment.num_classes}",
                advice="leave num_classes out",
            )
