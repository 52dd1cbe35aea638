"""Samples of a data set, loaded as a run loads them."""

from visionzoo.engine.loaders import build_loader


def loaded(dataset, workers):
    """Return all samples after the pipeline; ``workers`` processes load them."""
    if not workers:
        return [dataset[number] for number in range(len(dataset))]
    cfg = {"batch_size": 1, "num_workers": workers, "sampler": range(len(dataset)), "collate_fn": list}
    return [sample for batch in build_loader(cfg, dataset, seed=0) for sample in batch]
