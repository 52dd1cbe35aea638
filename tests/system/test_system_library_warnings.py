"""Warnings of libraries about their own code are hidden; all others are shown."""

import warnings

import torch

from visionzoo.system.library_warnings import without_library_warnings


def test_only_the_known_ones_are_hidden():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with without_library_warnings():
            torch.meshgrid(torch.arange(2), torch.arange(3))
            warnings.warn("Detected call of `scheduler.step()` before `optimizer.step()`", stacklevel=1)
            warnings.warn("your data has no labels", stacklevel=1)
        torch.meshgrid(torch.arange(2), torch.arange(3))
    texts = [f"{each.message}" for each in shown]
    assert texts[0] == "your data has no labels"
    assert len(texts) == 1 or texts[1].startswith("torch.meshgrid")
