"""Regions of even colour as proposals."""

import torch

from visionzoo.config import load_config
from visionzoo.engine.loaders import build_dataset
from visionzoo.heads.wico.scorer import mask_ious
from visionzoo.providers.colour_regions import ColourRegions
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample


def scene():
    """Return an image of 40x60 pixels in a batch of 48x64, with a square that has a soft edge, and a bar."""
    image = torch.full((1, 3, 48, 64), 30.0)
    edge = 100 + 40 * (torch.arange(12)[:, None] + torch.arange(12)) % 80
    image[:, 0, 9:21, 4:16] = edge.float()
    image[:, 0, 10:20, 5:15] = 200
    image[:, 2, 5:25, 40:44] = 250
    return image, TaskSample(metainfo=dict(img_shape=(40, 60)))


def test_regions_are_sorted_by_area_and_include_their_soft_edge():
    image, sample = scene()
    (found,) = ColourRegions()(Batch(image, [sample]))
    assert found.masks.shape == (2, 40, 60)
    assert found.boxes.tolist() == [[4, 9, 16, 21], [40, 5, 44, 25]]
    assert found.masks.sum((1, 2)).tolist() == [144, 80]
    assert found.labels.tolist() == [-1, -1]
    (best,) = ColourRegions(most=1)(Batch(image, [sample]))
    assert len(best.boxes) == 1


def test_an_even_image_has_no_region():
    samples = [TaskSample(), TaskSample()]
    first, second = ColourRegions()(Batch(torch.zeros(2, 3, 8, 11), samples))
    assert (first.boxes.shape, first.masks.shape) == ((0, 4), (0, 8, 11))
    assert first is not second


def test_drawn_objects_are_regions():
    cfg = load_config("wico_lavt_refcoco", tiny=True).cfg.val_dataloader.dataset
    dataset = build_dataset(cfg, where="data set")
    for number in range(0, 60, 6):
        data = dataset[number]
        size = data["inputs"].shape[1:]
        truth = torch.nn.functional.interpolate((data["data_samples"].gt_map[None, None] != 0).float(), size)[0, 0] > 0
        (found,) = ColourRegions()(Batch(data["inputs"][None], [data["data_samples"]]))
        assert mask_ious(found.masks, truth).max() > 0.5
