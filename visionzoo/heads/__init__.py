"""Heads: feature maps to losses and predictions, one file or folder per paper or task, registered by being here."""
