"""A plugin with its own task: find the part of an image whose colour a phrase names."""
