"""Kinds of inputs: what inference takes for a task, from the command line and from Python.

A kind is a subclass of :class:`~visionzoo.tasks.inputs.base.Input`. It names its options, reads its sources, starts the
pipeline, and decides which samples share a batch. Inference and cards know no kind by name, so a plugin adds a kind
with a class of its own.
"""
