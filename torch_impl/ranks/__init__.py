"""Sums and batch norms over the processes that train one run together, in PyTorch."""
