"""Groups of images that share an object, with its mask in each image: co-salient object detection.

See ``datasets/co_saliency/README.md`` for the sets and their sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from visionzoo.allowed import Index, Steps
from visionzoo.datasets.every_nth import chosen, keys_of
from visionzoo.datasets.findings import Findings
from visionzoo.datasets.mask_files import MASKS
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.transforms.masks import check_masks_of
from visionzoo.errors import ConfigError, DataError, first_of, in_cwd, nearest_name, one_of
from visionzoo.registry import DATASETS, FUNCTIONS
from visionzoo.structures.image_names import IMAGE_ENDINGS, is_left_over

TRAINING_SETS, TEST_SETS = ("DUTS_class", "COCO-9k", "coco-seg"), ("CoCA", "CoSOD3k", "CoSal2015")
_ADVICE = advice("co_saliency")


@DATASETS.register_module()
class CoSaliencyFolder(BaseDataset):
    """Images in one folder per group; a sample is a whole group.

    On disk::

        <data_root>/<images>/<name>/<group>/<image>       images/CoCA/accordion/51499.jpg
        <data_root>/<masks>/<name>/<group>/<stem>.png       gts/CoCA/accordion/51499.png

    A sample is a dict with ``group`` (name of the folder), ``img_path`` and ``gt_path`` (lists, sorted by name) and
    ``gt_label``, the index of the group in alphabetical order plus ``label_offset``. ``metainfo`` has ``groups``.

    Args:
        data_root: a folder, or ``tiny://co_saliency?groups=3&images=4&seed=0`` for drawn images.
        name: the set, ``DUTS_class``, ``COCO-9k``, ``coco-seg``, ``CoCA``, ``CoSOD3k``, ``CoSal2015`` or another
            folder; empty if ``images`` itself contains the groups.
        images, masks: folders in ``data_root``; ``masks=None`` for data without masks.
        label_offset: added to each class. The authors number each training set from 0, so classes of different sets
            share a number. An offset separates them and requires a larger ``model.head.num_classes``.
        indices, pipeline, test_mode, serialize_data, max_refetch: see mmengine. An unusable sample is always an error.
        every: N keeps every N-th group by name, for validation. Default: all groups.
        not_every: N keeps the other groups, for training. See :func:`~visionzoo.datasets.every_nth.chosen`.

    Raises:
        DataError: folders are missing or empty, an image has no mask, two images of a group have the same stem, or, if
            the pipeline reads masks, a checked mask cannot be read or no mask has a salient pixel.

    Example:
        >>> root = "tiny://co_saliency?groups=2&images=1&size=24"
        >>> dataset = CoSaliencyFolder(root, name="CoCA", serialize_data=False)
        >>> [(sample["group"], len(sample["img_path"])) for sample in dataset]
        [('disc', 2), ('square', 1)]
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
        max_refetch: Index = 1000,
        every: int | None = None,
        not_every: int | None = None,
    ):
        root = resolve_data_root(data_root)
        self._images = root / images / name
        self._masks = None if masks is None else root / masks / name
        self._label_offset = label_offset
        _require_folder(self._images)
        names = _folders(self._images)
        groups = tuple(chosen(names, keys_of(names), self._images, every, not_every))
        super().__init__(
            data_root=str(root),
            metainfo=dict(groups=groups),
            indices=indices,
            pipeline=list(pipeline),
            test_mode=test_mode,
            serialize_data=serialize_data,
            max_refetch=max_refetch,
        )
        if self._masks is not None:
            infos = map(self.get_data_info, range(len(self)))
            files = [pair for info in infos for pair in zip(info["img_path"], info["gt_path"], strict=True)]
            check_masks_of(self, self._masks, files)

    def load_data_list(self) -> list[dict]:
        """Return one dict per group."""
        groups = self.metainfo["groups"]
        with Findings(self._images, expected="images of groups") as findings:
            paths = [_image_paths(self._images / group, findings) for group in groups]
        masks = None if self._masks is None else _masks_of(paths, self._masks)
        samples = []
        for number, (group, images) in enumerate(zip(groups, paths, strict=True)):
            sample = {"group": group, "img_path": images, "gt_label": number + self._label_offset}
            samples.append(sample if masks is None else {**sample, "gt_path": masks[number]})
        return samples


@DATASETS.register_module()
class CoSaliencyPairs:
    """Pairs of groups of equal size, for training; items alternate between S sources.

    Item i belongs to source ``i % S``. It combines the group ``i // S`` of this source with a random other group; a
    source with fewer groups starts again. Both groups are reduced to n random images, where n is the size of the
    smaller group, and at most ``most``. An item has lists in ``inputs`` and ``data_samples``.
    ``collate_fn=dict(type="join_samples")`` joins items to a batch, in which two consecutive samples are a pair.

    The authors add the losses of one pair of each source before a step. ``BlockSampler``, ``batch_size=1`` and
    ``accumulative_counts=S`` do the same; each pair passes through the network separately, as in the authors' code.

    Args:
        sources: configs of :class:`CoSaliencyFolder`.
        most: largest number of images of a group, >= 1.
        indices: number of items; the first items are kept.

    Attributes:
        block: S, the number of items that belong together.

    Raises:
        ConfigError: there is no source, or ``most`` is below 1.
        DataError: a source has only one group.

    Example:
        >>> source = dict(type="CoSaliencyFolder", data_root="tiny://co_saliency?groups=2&images=1&size=24")
        >>> source |= dict(name="CoCA", serialize_data=False)
        >>> pairs = CoSaliencyPairs([source, source])
        >>> len(pairs), pairs.block
        (4, 2)
    """

    def __init__(self, sources: Sequence[Mapping[str, Any]], most: Steps = 26, indices: int | None = None):
        if not sources or most < 1:
            raise ConfigError(
                "CoSaliencyPairs", expected="one source or more and most >= 1", found=f"{len(sources)} and {most}"
            )
        self.sources: list[CoSaliencyFolder] = [DATASETS.build(dict(source)) for source in sources]
        for source in self.sources:
            if len(source) < 2:
                raise DataError(
                    source.data_root,
                    expected="two groups or more to make pairs",
                    found=f"{len(source)}",
                    advice="add groups",
                )
        self.most, self.block = most, len(self.sources)
        whole = self.block * max(map(len, self.sources))
        self._length = whole if indices is None else min(whole, indices)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Metainfo of the first source."""
        return self.sources[0].metainfo

    def full_init(self) -> None:
        """Read the sources."""
        for source in self.sources:
            source.full_init()

    def get_subset_(self, indices: Sequence[int]) -> None:
        """Keep the first ``len(indices)`` items."""
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
    """Join items, which are lists of samples, to one batch of all samples in order.

    Example:
        >>> join_samples([{"inputs": [1, 2]}, {"inputs": [3, 4]}])
        {'inputs': [1, 2, 3, 4]}
    """
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
        found=f"no such folder{in_cwd(folder)}{there}",
        advice=f"{_ADVICE}",
    )


def _folders(folder: Path) -> tuple[str, ...]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not is_left_over(entry.name))
    if not names:
        raise DataError(folder, expected="one folder of images per group", found="none", advice=f"{_ADVICE}")
    return tuple(names)


def _image_paths(folder: Path, findings: Findings) -> list[str]:
    files = _files_in(folder)
    paths = [path for path in files if path.suffix.lower() in IMAGE_ENDINGS]
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
    others = sorted({path.suffix for path in files if path not in paths})
    findings.note(f"files of other kinds are left out: {first_of(others)}", len(files) - len(paths))
    return [str(path) for path in paths]


def _masks_of(groups: Sequence[Sequence[str]], folder: Path) -> list[list[str]]:
    """Return the mask of each image: the file with the same group and stem, and the first of the endings in ``MASKS``.

    A mask that is the image itself counts as missing.
    """
    masks, missing = [], []
    for images in groups:
        group = Path(images[0]).parent.name
        present = _masks_by_stem(folder / group)
        paths = [present.get(Path(image).stem, "") for image in images]
        missing += [f"{group}/{Path(image).stem}.png" for image, path in zip(images, paths) if path in ("", image)]
        masks.append(paths)
    if missing:
        raise DataError(
            f"{folder}: expected a mask for every image, {len(missing)} of {sum(map(len, groups))} are missing "
            f"({first_of(missing)}); copy them, or set masks=None if masks are not needed"
        )
    return masks


def _masks_by_stem(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        return {}
    paths = [path for path in _files_in(folder) if path.suffix.lower() in MASKS]
    paths.sort(key=lambda path: -MASKS.index(path.suffix.lower()))
    return {path.stem: str(path) for path in paths}


def _files_in(folder: Path) -> list[Path]:
    """Return the files of a folder by name, without hidden files."""
    try:
        return sorted(path for path in folder.iterdir() if not is_left_over(path.name) and not path.is_dir())
    except OSError as error:
        raise DataError(
            folder, expected="a readable folder", but=f"{error.strerror}", advice="check its rights"
        ) from error
