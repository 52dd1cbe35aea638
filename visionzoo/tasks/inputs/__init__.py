"""Kinds of inputs: what inference accepts for a task, from the command line and from Python.

A kind is a subclass of :class:`~visionzoo.tasks.inputs.base.Input`. It defines its options, reads its sources, starts
the pipeline, and decides which samples share a batch. Inference and cards do not depend on any specific kind, so a
plugin can add one with a new class.
"""
