"""Where weights come from and whether they fit: downloads, safe reading, loading into a model."""
