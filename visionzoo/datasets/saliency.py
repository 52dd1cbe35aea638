"""Images with one saliency mask each: MSRA-B, ECSSD, HKU-IS, PASCAL-S, DUT-OMRON, DUTS and similar sets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError, require_none_missing
from visionzoo.registry import DATASETS
from visionzoo.structures.image_names import IMAGE_ENDINGS, without_ending
from visionzoo.system.text_files import read_text

# A stem may have several files (MSRA-B is published with image and mask side by side); the first ending is used.
MASKS = (".png", ".bmp", ".jpg")
_ADVICE = advice("saliency")


@DATASETS.register_module()
class SaliencyDataset(SampleList):
    """Images and grey masks with equal stems.

    On disk::

        <data_root>/imgs/<name>.jpg       or .png, HKU-IS
        <data_root>/gt/<name>.png         0 to 255, salient above 127
        <data_root>/<split>.txt           optional: one name per line

    A sample has ``img_path`` and ``gt_path``; ``LoadMaskAnnotation`` reads the mask. ``metainfo`` has one class,
    ``salient``. The constructor checks everything except the pixels.

    Args:
        data_root: a folder, or ``tiny://msra_b?train=24&val=8&seed=0`` for drawn images.
        split: name of the list in ``data_root``; None for all images.
        img_folder, gt_folder: names of the two folders; both may be the same folder.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: folders, lists, images or masks are missing or empty.

    Example:
        >>> dataset = SaliencyDataset("tiny://ecssd?test=2&size=32", serialize_data=False)
        >>> len(dataset), sorted(dataset[0])
        (2, ['gt_path', 'img_path', 'sample_idx'])
    """

    METAINFO = {"classes": ("salient",)}

    def __init__(
        self,
        data_root: str,
        split: str | None = None,
        img_folder: str = "imgs",
        gt_folder: str = "gt",
        **loading: Unpack[LoadingOptions],
    ):
        root = resolve_data_root(data_root)
        images = _files_by_stem(root, root / img_folder, IMAGE_ENDINGS, "<name>.jpg")
        masks = _files_by_stem(root, root / gt_folder, MASKS, "<name>.png")
        names = sorted(images) if split is None else _listed(root, split)
        super().__init__(root, _paired(root, names, images, masks), **loading)


def _files_by_stem(root: Path, folder: Path, endings: Sequence[str], example: str) -> dict[str, str]:
    """Return paths by stem. If a stem has several files, the first ending in ``endings`` is used."""
    if not folder.is_dir():
        raise DataError(
            root, expected=f"{folder.name}/{example}", found=f"no such folder (in {Path.cwd()})", advice=f"{_ADVICE}"
        )
    names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    paths: dict[str, str] = {}
    for ending in endings:
        for name in names:
            if name.lower().endswith(ending):
                paths.setdefault(name[: -len(ending)], str(folder / name))
    if not paths:
        raise DataError(folder, expected=f"files {example}", found=f"none ({', '.join(endings)})", advice=f"{_ADVICE}")
    return paths


def _listed(root: Path, split: str) -> list[str]:
    path = root / f"{split}.txt"
    if not path.exists():
        known = ", ".join(sorted(other.name for other in root.glob("*.txt"))) or "none"
        raise DataError(
            path,
            expected="a list with one name per line",
            found=f"no such file (lists there: {known})",
            advice="write it, or omit split to use all images",
        )
    lines = read_text(path, "a list with one name per line", "check it").splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(path, expected="at least one name", found="none", advice="check how it was made")
    return [without_ending(name) for name in names]  # some lists have endings


def _paired(root: Path, names: Sequence[str], images: dict[str, str], masks: dict[str, str]) -> list[dict]:
    for kind, known in (("images", images), ("masks", masks)):
        require_none_missing(
            [name for name in names if name not in known],
            root,
            expected=f"{len(names)} {kind}",
            advice="copy them again, or list the others in a split",
        )
    return [{"img_path": images[name], "gt_path": masks[name]} for name in names]
