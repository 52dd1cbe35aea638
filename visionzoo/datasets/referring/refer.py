"""RefCOCO, RefCOCO+, RefCOCOg, RefClef and gRefCOCO in the layout of the REFER tools."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from visionzoo.datasets.coco_file import read_coco
from visionzoo.datasets.file_names import require_inside
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.missing_files import advice, missing_files
from visionzoo.datasets.referring.objects import objects_by_image
from visionzoo.datasets.referring.refs_file import (
    Ref,
    difference_from_published,
    read_refs,
    refs_file,
    refs_of_split,
)
from visionzoo.datasets.referring.segments import is_partly_outside, problem_of
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import SCHEME, resolve_data_root
from visionzoo.errors import DataError, in_cwd, require_none_missing
from visionzoo.registry import DATASETS

IMAGES = "images/mscoco/images/train2014"
_ADVICE = advice("refcoco")


@DATASETS.register_module()
class ReferDataset(SampleList):
    """Images, phrases, and the masks of the objects that the phrases mean.

    On disk::

        <data_root>/<name>/refs(<split_by>).p       or refs(<split_by>).json; gRefCOCO: grefs(<split_by>).json
        <data_root>/<name>/instances.json           images and annotations in COCO's format
        <data_root>/<img_folder>/<file_name>        COCO_train2014_000000000009.jpg

    A sample has ``img_path``, ``img_id``, ``height``, ``width``, ``ref_id`` and ``segments``: the segmentation of each
    object. For training, a sample is one ref with all its ``phrases``; ``ChoosePhrase`` draws one of them. For testing
    (``test_mode``), a sample is one ref with one ``phrase``. ``LoadReferredMask`` draws the mask.

    Only the files of refs name images with a suffix; the name in ``instances.json`` is used.

    Args:
        data_root: the folder, or ``tiny://refcoco`` for drawn images.
        name: folder of the data set: ``refcoco``, ``refcoco+``, ``refcocog``, ``refclef`` or ``grefcoco``.
        split_by: ``unc``; for RefCOCOg ``umd`` or ``google``.
        split: see :func:`visionzoo.datasets.referring.refs_file.refs_of_split`; also ``test`` for all tests, and
            ``all``.
        img_folder: folder of the images in ``data_root``. RefClef: ``images/saiapr_tc-12``.
        objects: give each sample ``objects``, all annotated objects of its image except crowds, from which
            ``LoadProposals`` makes the proposals of an oracle.
        max_samples, pipeline, test_mode, serialize_data, max_refetch, every, not_every: see :class:`SampleList`.

    Raises:
        UnknownName: no such split.
        DataError: files are missing or damaged, a pickle could run code, the split has no ref, or a ref names an image
            or annotation that does not exist or has no mask in the image.

    Example:
        >>> dataset = ReferDataset("tiny://refcoco?train=2&val=1", "refcoco", split="train", serialize_data=False)
        >>> sorted(dataset[0])[:5]
        ['height', 'img_id', 'img_path', 'phrases', 'ref_id']
    """

    def __init__(
        self,
        data_root: str,
        name: str = "refcoco",
        split_by: str = "unc",
        split: str = "train",
        img_folder: str = IMAGES,
        objects: bool = False,
        **loading: Unpack[LoadingOptions],
    ):
        root = resolve_data_root(data_root)
        path = _refs_path(root, root / name, split_by)
        refs = read_refs(path)
        chosen = refs_of_split(refs, split, path)
        record = _instances(root / name / "instances.json")
        images = {image["id"]: image for image in record["images"]}
        with Findings(path, expected="refs of instances.json", advice="copy both files from one source") as findings:
            segments = _segments_of(chosen, images, record["annotations"], findings)
            chosen_images = {ref.image_id for ref in chosen} if objects else set()
            by_image = objects_by_image(record, chosen_images & images.keys(), findings)
            if not f"{data_root}".startswith(f"{SCHEME}://"):
                findings.note_once(difference_from_published(name, split_by, [ref.split for ref in refs]))
        used = [images[image_id] for image_id in dict.fromkeys(ref.image_id for ref in chosen)]
        _require_images(path, root, img_folder, [image["file_name"] for image in used])
        samples_of = _pairs_of if loading.get("test_mode") else _whole
        samples = []
        for ref, meant in zip(chosen, segments, strict=True):
            facts = {**_place(images[ref.image_id], root / img_folder), "segments": meant}
            samples += samples_of(ref, facts | ({"objects": by_image[ref.image_id]} if objects else {}))
        super().__init__(root, samples, **loading)


def _refs_path(root: Path, folder: Path, split_by: str) -> Path:
    if not folder.is_dir():
        raise DataError(
            folder, expected=f"a folder with refs({split_by}).p", found=f"none{in_cwd(root)}", advice=_ADVICE
        )
    path = refs_file(folder, split_by)
    if path is None:
        others = sorted(each.name for each in folder.iterdir() if "refs(" in each.name)
        found = f"only {', '.join(others)}" if others else "none"
        raise DataError(
            folder,
            expected=f"refs({split_by}).p, .json or grefs({split_by}).json",
            found=found,
            advice="set split_by" if others else _ADVICE,
        )
    return path


def _instances(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(path, expected="annotations of the refs in COCO's format", found="no such file", advice=_ADVICE)
    return read_coco(path)


def _segments_of(
    refs: Sequence[Ref], images: Mapping[Any, Mapping], annotations: Sequence[Mapping], findings: Findings
) -> list[list[Any]]:
    """Return the segmentations of the objects of each ref; report refs without image, annotation or mask."""
    by_id = {annotation["id"]: annotation for annotation in annotations}
    found = []
    for ref in refs:
        place, image = f"ref {shown(ref.ref_id)}", images.get(ref.image_id)
        if image is None:
            findings.wrong(place, "image_id", expected="the id of one of the images", found=shown(ref.image_id))
            continue
        objects = [by_id.get(ann_id) for ann_id in ref.ann_ids]
        for ann_id, annotation in zip(ref.ann_ids, objects, strict=True):
            _check(place, ann_id, annotation, image, findings)
        found.append([annotation.get("segmentation") for annotation in objects if annotation is not None])
    return found


def _check(place: str, ann_id: Any, annotation: Mapping | None, image: Mapping[str, Any], findings: Findings) -> None:
    """Report an annotation that does not exist, belongs to another image, or has no mask in the image."""
    if annotation is None:
        findings.wrong(place, "ann_id", expected="the id of one of the annotations", found=shown(ann_id))
        return
    size, segmentation = (image["height"], image["width"]), annotation.get("segmentation")
    if annotation["image_id"] != image["id"]:
        problem: str | None = f"one of the image {shown(annotation['image_id'])}"
    else:
        problem = problem_of(segmentation, size)
    if problem:
        expected = f"a mask in the image {shown(image['id'])}"
        findings.wrong(f"{place}: annotation {shown(ann_id)}", "segmentation", expected=expected, found=problem)
    else:
        findings.note("polygons partly outside their image, cut off", is_partly_outside(segmentation, size))


def _require_images(path: Path, root: Path, img_folder: str, names: Sequence[str]) -> None:
    folder = root / img_folder
    require_inside(names, folder, root, path)
    missing = missing_files([os.path.join(folder, name) for name in names], root)
    require_none_missing(missing, root, expected=f"{len(names)} images in {img_folder}", advice=_ADVICE)


def _place(image: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    path = os.path.join(folder, image["file_name"])
    return {"img_path": path, "img_id": image["id"], "height": image["height"], "width": image["width"]}


def _whole(ref: Ref, facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**facts, "ref_id": ref.ref_id, "phrases": list(ref.phrases)}]


def _pairs_of(ref: Ref, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one sample for each phrase."""
    return [
        {**facts, "ref_id": ref.ref_id, "sent_id": sent_id, "phrase": phrase}
        for phrase, sent_id in zip(ref.phrases, ref.sent_ids, strict=True)
    ]
