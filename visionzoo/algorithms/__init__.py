"""Procedures over a model: search, pruning, pre-training."""
