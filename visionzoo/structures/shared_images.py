"""Images that several samples of a batch share, so that a model computes what does not depend on the phrase once."""

from __future__ import annotations

from collections.abc import Sequence

from visionzoo.structures.task_sample import TaskSample


def distinct_images(samples: Sequence[TaskSample]) -> tuple[list[int], list[int]]:
    """Return the samples whose images differ, and the image of each sample.

    Samples with equal ``shared_image`` in their metainfo have equal images. ``inputs[first]`` are then the distinct
    images of a batch, and ``feats[image]`` are their features for each sample.

    Args:
        samples: B samples of one image each. One without ``shared_image`` has a separate image.

    Returns:
        ``first``, indices of one sample for each distinct image, and ``image``, B indices of images.

    Example:
        >>> samples = [TaskSample(metainfo=dict(shared_image=name)) for name in ("a.jpg", "b.jpg", "a.jpg")]
        >>> distinct_images(samples)
        ([0, 1], [0, 1, 0])
    """
    first: list[int] = []
    known: dict[object, int] = {}
    image = []
    for number, sample in enumerate(samples):
        key = sample.metainfo.get("shared_image") or (number,)
        if key not in known:
            known[key] = len(first)
            first.append(number)
        image.append(known[key])
    return first, image
