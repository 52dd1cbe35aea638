"""Groups of images that share an object, with its mask in each: co-salient object detection.

See ``datasets/co_saliency/README.md`` for the sets and where they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import ConfigError, DataError, first_of, nearest_name, one_of
from visionzoo.registry import DATASETS, FUNCTIONS
from visionzoo.structures.image_names import IMAGE_ENDINGS

TRAINING_SETS, TEST_SETS = ("DUTS_class", "COCO-9k", "coco-seg"), ("CoCA", "CoSOD3k", "CoSal2015")
_ADVICE = advice("co_saliency")


@DATASETS.register_module()
class CoSaliencyFolder(BaseDataset):
    """One folder per group; a sample is a whole group.

    On disk::

        <data_root>/<images>/<name>/<group>/<image>       images/CoCA/accordion/51499.jpg
        <data_root>/<masks>/<name>/<group>/<stem>.png       gts/CoCA/accordion/51499.png

    A sample is a dict with ``group`` (the folder's name), ``img_path`` and ``gt_path`` (lists, in order of names) and
    ``gt_label``, the number of the group in alphabetical order plus ``label_offset``. ``metainfo`` has ``groups``.

    Args:
        data_root: a folder, or ``tiny://co_saliency?groups=3&images=4&seed=0`` for drawn images.
        name: the set, ``DUTS_class``, ``COCO-9k``, ``coco-seg``, ``CoCA``, ``CoSOD3k``, ``CoSal2015`` or another
            folder; empty where the groups lie in ``images`` itself.
        images, masks: folders in ``data_root``; ``masks=None`` where there are none.
        label_offset: added to every class. The authors count every training set from 0, so that classes of different
            sets share a number; an offset keeps them apart (and needs a larger ``model.head.num_classes``).
        indices, pipeline, test_mode, serialize_data, max_refetch: mmengine's. An unusable sample is always an error.

    Raises:
        DataError: folders are missing or empty, an image has no mask, two images of a group have one stem.
    """

    def __init__(
        self,
        data_root: str,
        name: str = "",
        images: str = "images",
        masks: str | None = "gts",
        label_offset: int = 0,
        indices: int | Sequence[int] | None = None,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        serialize_data: bool = True,
        max_refetch: int = 1000,
    ):
        root = resolve_data_root(data_root)
        self._images = root / images / name
        self._masks = None if masks is None else root / masks / name
        self._label_offset = label_offset
        _require_folder(self._images)
        super().__init__(
            data_root=str(root),
            metainfo=dict(groups=_folders(self._images)),
            indices=indices,
            pipeline=list(pipeline),
            test_mode=test_mode,
            serialize_data=serialize_data,
            max_refetch=max_refetch,
        )

    def load_data_list(self) -> list[dict]:
        """One dict per group."""
        groups = self.metainfo["groups"]
        found = [_image_paths(self._images / group) for group in groups]
        masks = None if self._masks is None else _masks_of(found, self._masks)
        samples = []
        for number, (group, images) in enumerate(zip(groups, found, strict=True)):
            sample = {"group": group, "img_path": images, "gt_label": number + self._label_offset}
            samples.append(sample if masks is None else {**sample, "gt_path": masks[number]})
        return samples


@DATASETS.register_module()
class CoSaliencyPairs:
    """Pairs of groups of equal size for training; several sources take turns.

    Item i is of source ``i % S``: its group ``i // S`` (from the start again where a source has fewer), a random other
    group, and n random images of each, n being the size of the smaller one and at most ``most``. An item has lists in
    ``inputs`` and ``data_samples``; ``collate_fn=dict(type="join_samples")`` makes a batch of them, in which two
    samples in a row are a pair.

    The authors add the losses of one pair of each source before a step. ``BlockSampler``, ``batch_size=1`` and
    ``accumulative_counts=S`` do so, each pair going through the network alone, as theirs do.

    Args:
        sources: configs of :class:`CoSaliencyFolder`.
        most: images of a group at most.
        indices: number of items to keep, from the first.

    Attributes:
        block: S, the items that belong together.

    Raises:
        ConfigError: no source, or ``most`` below 1. DataError: a source with a single group.
    """

    def __init__(self, sources: Sequence[Mapping[str, Any]], most: int = 26, indices: int | None = None):
        if not sources or most < 1:
            raise ConfigError(
                "CoSaliencyPairs", expected="one source or more and most from 1 on", found=f"{len(sources)} and {most}"
            )
        self.sources: list[CoSaliencyFolder] = [DATASETS.build(dict(source)) for source in sources]
        for source in self.sources:
            if len(source) < 2:
                raise DataError(
                    source.data_root,
                    expected="two groups or more to make pairs of",
                    found=f"{len(source)}",
                    advice="add groups",
                )
        self.most, self.block = most, len(self.sources)
        whole = self.block * max(map(len, self.sources))
        self._length = whole if indices is None else min(whole, indices)

    @property
    def metainfo(self) -> dict[str, Any]:
        """That of the first source."""
        return self.sources[0].metainfo

    def full_init(self) -> None:
        """Read the sources."""
        for source in self.sources:
            source.full_init()

    def get_subset_(self, indices: Sequence[int]) -> None:
        """Keep the first items, as many as ``indices`` has."""
        self._length = min(self._length, len(indices))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, list]:
        if not 0 <= index < self._length:
            raise IndexError(index)
        source = self.sources[index % self.block]
        first = index // self.block % len(source)
        second = int(np.random.randint(len(source) - 1))
        pair = [source.get_data_info(number) for number in (first, second + (second >= first))]
        count = min(self.most, *(len(group["img_path"]) for group in pair))
        packed = [source.pipeline(_some_images(group, count)) for group in pair]
        return {key: [sample[key] for sample in packed] for key in ("inputs", "data_samples")}


@FUNCTIONS.register_module()
def join_samples(data_batch: Sequence[Mapping[str, list]]) -> dict[str, list]:
    """A batch of items that are lists of samples: all samples one after the other."""
    return {key: [value for item in data_batch for value in item[key]] for key in data_batch[0]}


def _some_images(group: dict[str, Any], count: int) -> dict[str, Any]:
    chosen = np.random.permutation(len(group["img_path"]))[:count]
    picked: dict[str, Any] = {
        key: [group[key][number] for number in chosen] for key in ("img_path", "gt_path") if key in group
    }
    return {**group, **picked}


# --- folders ---


def _require_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    beside = _folders(folder.parent) if folder.parent.is_dir() else ()
    nearest = nearest_name(folder.name, beside)
    there = f" (did you mean {nearest!r}?)" if nearest else f" ({one_of(beside)})" if beside else ""
    raise DataError(
        folder,
        expected="one folder of images per group",
        found=f"no such folder in {Path.cwd()}{there}",
        advice=f"{_ADVICE}",
    )


def _folders(folder: Path) -> tuple[str, ...]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise DataError(folder, expected="one folder of images per group", found="none", advice=f"{_ADVICE}")
    return tuple(names)


def _image_paths(folder: Path) -> list[str]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS)
    if not paths:
        raise DataError(
            folder,
            expected=f"images of a group ({', '.join(IMAGE_ENDINGS)})",
            found="none",
            advice="fill the folder or remove it",
        )
    stems = [path.stem for path in paths]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise DataError(
            folder,
            expected=f"one image called {twice}, as they share a mask",
            found=f"{', '.join(path.name for path in paths if path.stem == twice)}",
            advice="rename or remove one",
        )
    return [str(path) for path in paths]


def _masks_of(groups: Sequence[Sequence[str]], folder: Path) -> list[list[str]]:
    """The mask of every image: the same group and stem, .png or, where that is missing, .jpg."""
    masks, missing = [], []
    for images in groups:
        found = []
        for image in images:
            stem = folder / Path(image).parent.name / Path(image).stem
            path = next((path for path in (Path(f"{stem}.png"), Path(f"{stem}.jpg")) if path.is_file()), None)
            found.append(str(path))
            if path is None:
                missing.append(f"{Path(image).parent.name}/{Path(image).stem}.png")
        masks.append(found)
    if missing:
        raise DataError(
            f"{folder}: expected a mask for every image, {len(missing)} of {sum(map(len, groups))} are missing "
            f"({first_of(missing)}); copy them, or set masks=None where none are needed"
        )
    return masks
