"""A plugin with a task of its own: where an image shows the colour that a phrase names."""
