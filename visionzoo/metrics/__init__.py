"""Metrics: pure functions and their adapters to mmengine, one file or folder per task.

Metrics in this folder are registered automatically.
"""
