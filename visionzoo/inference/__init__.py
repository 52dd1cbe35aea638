"""From images to predictions: what may be given, how it is run, what is written.

``inputs`` turns files, folders, globs, lists, videos and arrays into a stream; ``inferencer`` runs a model over it in
batches; ``tasks`` says what each task's result is; ``writing`` puts results into files, and ``video_writing`` drawn
frames into videos.
"""
