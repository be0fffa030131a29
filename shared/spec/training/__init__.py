"""Settings of the training: update rule, learning rate, precision, stages, early stopping."""
