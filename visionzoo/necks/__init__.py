"""Necks: a tuple of feature maps to another, one file or folder per paper, registered by being here."""
