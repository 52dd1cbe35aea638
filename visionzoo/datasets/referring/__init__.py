"""Data sets of images, phrases and the mask of what each phrase means."""
