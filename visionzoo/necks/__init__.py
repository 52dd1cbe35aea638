"""Necks: from a tuple of feature maps to another tuple of feature maps.

One file or folder per paper. All modules in this folder are registered automatically.
"""
