"""Metrics: pure functions, and their adapters to mmengine, one file or folder per task, registered by being here.

Of every adapter ``collect_device`` says where results of several processes meet, ``cpu`` or ``gpu``; ``prefix`` stands
for its ``default_prefix`` in the names of the numbers.
"""
