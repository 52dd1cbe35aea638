"""Data sets, one file or folder per task or suite. Every module in this folder is registered."""
