"""Learning what and where to transfer, in PyTorch."""
