"""What the machine is: whole files, devices, processes, the cache folder, versions."""
