"""Forms of models for export: tensors in, tensors out, with normalisation and post-processing inside.

A form returns the results of its tasks, and no Python object. :mod:`visionzoo.graphs.form` defines what a form states,
and :mod:`visionzoo.graphs.images` finds what each head computes: heads of this package define it in ``graph_outputs``,
and other modules have the graphs of heads of mmdet and mmseg, which are the same in their own models and in a
``TaskModel``.
"""
