"""Forms of models for export: tensors in, tensors out, with normalisation and post-processing inside.

A form returns the results of its task, and no Python object. :mod:`visionzoo.graphs.form` defines what a form states;
the other modules are the forms of models of mmdet and mmseg. Models of this package state theirs in ``outputs``.
"""
