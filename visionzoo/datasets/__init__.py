"""Data sets, one file or folder per task or suite, registered by being here."""
