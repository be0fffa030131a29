"""How a network is trained: update rule, learning rate, precision, stages, when to stop."""
