"""Data sets. The registry imports the modules here that register one, so that importing this package costs nothing."""
