"""Backbones: an image to a tuple of feature maps, one file or folder per paper, registered by being here."""
