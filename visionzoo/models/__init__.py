"""Models: the combination of backbone, neck and head."""
