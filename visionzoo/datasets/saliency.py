"""Images with one saliency mask each: MSRA-B, ECSSD, HKU-IS, PASCAL-S, DUT-OMRON, DUTS and similar sets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.mask_files import MASKS
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.transforms.masks import check_masks_of
from visionzoo.errors import DataError, first_of, in_cwd, require_none_missing
from visionzoo.registry import DATASETS
from visionzoo.structures.image_names import IMAGE_ENDINGS, is_left_over, without_ending
from visionzoo.system.text_files import read_text

_ADVICE = advice("saliency")


@DATASETS.register_module()
class SaliencyDataset(SampleList):
    """Images and grey masks with equal stems.

    On disk::

        <data_root>/imgs/<name>.jpg       or .png, HKU-IS
        <data_root>/gt/<name>.png         0 to 255, salient above 127
        <data_root>/<split>.txt           optional: one name per line

    A sample has ``img_path`` and ``gt_path``; ``LoadMaskAnnotation`` reads the mask. ``metainfo`` has one class,
    ``salient``. The constructor checks all names and the pixels of some masks, if the pipeline reads masks.

    Args:
        data_root: a folder, or ``tiny://msra_b?train=24&val=8&seed=0`` for drawn images.
        split: name of the list in ``data_root``; None for all images.
        img_folder, gt_folder: names of the two folders; both may be the same folder.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: folders, lists, images or masks are missing or empty, a checked mask cannot be read, or no mask has
            a salient pixel.

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
        with Findings(root, expected="images with masks") as findings:
            images = _files_by_stem(root, root / img_folder, IMAGE_ENDINGS, "<name>.jpg", findings)
            masks = _files_by_stem(root, root / gt_folder, MASKS, "<name>.png", findings)
            names = sorted(images) if split is None else _listed(root, split, findings)
            samples = _paired(root, names, images, masks)
            if split is None:
                findings.note(f"masks in {gt_folder} without an image are left out", len(masks.keys() - images.keys()))
        super().__init__(root, samples, **loading)
        infos = map(self.get_data_info, range(len(self)))
        check_masks_of(self, root / gt_folder, [(info["img_path"], info["gt_path"]) for info in infos])


def _files_by_stem(
    root: Path, folder: Path, endings: Sequence[str], example: str, findings: Findings
) -> dict[str, str]:
    """Return paths by stem. If a stem has several files, the first ending in ``endings`` is used."""
    names = _names_in(root, folder, example)
    paths: dict[str, str] = {}
    for ending in endings:
        for name in names:
            if name.lower().endswith(ending):
                paths.setdefault(name[: -len(ending)], str(folder / name))
    if not paths:
        raise DataError(folder, expected=f"files {example}", found=f"none ({', '.join(endings)})", advice=f"{_ADVICE}")
    others = sorted({os.path.splitext(name)[1] for name in names if not name.lower().endswith(MASKS + IMAGE_ENDINGS)})
    count = sum(os.path.splitext(name)[1] in others for name in names)
    findings.note(f"files in {folder.name} of other kinds are left out: {first_of(others)}", count)
    return paths


def _names_in(root: Path, folder: Path, example: str) -> list[str]:
    """Return the names of the files in a folder, without hidden files."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not is_left_over(entry.name) and not entry.is_dir())
    except (OSError, ValueError) as error:
        if folder.is_dir():
            raise DataError(folder, expected="a readable folder", but=f"{error}", advice="check its rights") from error
    raise DataError(
        root, expected=f"{folder.name}/{example}", found=f"no such folder{in_cwd(root)}", advice=f"{_ADVICE}"
    )


def _listed(root: Path, split: str, findings: Findings) -> list[str]:
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
    listed = [without_ending(line.strip()) for line in lines if line.strip()]  # some lists have endings
    names = list(dict.fromkeys(listed))
    if not names:
        raise DataError(path, expected="at least one name", found="none", advice="check how it was made")
    findings.note(f"names repeated in {path.name} are read once", len(listed) - len(names))
    return names


def _paired(root: Path, names: Sequence[str], images: dict[str, str], masks: dict[str, str]) -> list[dict]:
    for kind, known in (("images", images), ("masks", masks)):
        require_none_missing(
            [_shown(name) for name in names if name not in known],
            root,
            expected=f"{len(names)} {kind}",
            advice="copy them again, or list the others in a split",
        )
    same = [name for name in names if images[name] == masks[name]]
    if same:
        raise DataError(
            images[same[0]],
            expected="an image and a mask",
            found=f"one file for both ({len(same)} of {len(names)} names)",
            advice="copy the images, as .jpg, or set img_folder and gt_folder",
        )
    return [{"img_path": images[name], "gt_path": masks[name]} for name in names]


def _shown(name: str) -> str:
    """Return a name for an error; names that are long or have control characters are quoted."""
    return name if name.isprintable() and len(name) <= 80 else shown(name, 80)
