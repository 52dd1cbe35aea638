"""A plugin with a task of its own: the shift between two small volumes."""
