"""Transforms of samples. Every module in this folder is registered."""
