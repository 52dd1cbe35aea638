"""The join of backbone, neck and head."""
