"""Weights: downloading, safe reading, and strict loading into a model."""
