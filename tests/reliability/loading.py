"""Samples of a data set, loaded as a run loads them."""

from visionzoo.engine.loaders import build_dataset, build_loader


def loaded(cfg, workers):
    """Build a data set and return all its samples after the pipeline; ``workers`` processes load them."""
    return samples_of(build_dataset(cfg, where="dataset"), workers)


def samples_of(dataset, workers):
    """Return all samples of a data set after the pipeline, in order."""
    if not workers:
        return [dataset[number] for number in range(len(dataset))]
    options = {"batch_size": 1, "num_workers": workers, "collate_fn": list}
    loader = build_loader(options, dataset, seed=0)
    try:
        return [sample for batch in loader for sample in batch]
    finally:
        loader.stop()
