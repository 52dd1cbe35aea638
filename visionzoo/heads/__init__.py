"""Heads: from feature maps to losses and predictions.

One file or folder per paper or task. All modules in this folder are registered automatically.
"""
