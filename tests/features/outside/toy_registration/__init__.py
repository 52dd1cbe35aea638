"""A plugin with its own task: the shift between two small volumes."""
