"""Access to the system: atomic files, devices, processes, the cache folder, versions."""
