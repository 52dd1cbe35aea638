"""Tools that look at data and models."""
