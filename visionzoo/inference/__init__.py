"""Inference: from images to predictions and files.

``inferencer`` runs a model over a stream of inputs in batches; ``preparing`` reads each input and applies the config's
test pipeline. ``writing`` writes results to files, and ``video_writing`` writes drawn frames to videos. The package
:mod:`visionzoo.tasks` defines the result of each task, and :mod:`visionzoo.tasks.inputs` turns files, folders, globs,
lists, videos and arrays into a stream.
"""
