"""Procedures that use models, e.g. architecture search."""
