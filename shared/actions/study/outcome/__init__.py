"""Facts about finalists beyond their accuracy: their files, limits, and more images."""
