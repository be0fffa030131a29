"""Settings of the training: loss, update rule, rate, precision, stages, early stopping."""
