"""Metrics: pure functions, and their adapters to mmengine, one file or folder per task, registered by being here."""
