"""Which images are for training, validation and test, and whether they leak."""
