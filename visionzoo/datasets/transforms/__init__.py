"""Transforms of samples, registered by being here."""
