"""Losses that two or more papers use: similarity of images, regularity of displacement fields."""
