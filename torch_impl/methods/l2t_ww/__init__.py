"""Learning What and Where to Transfer, in PyTorch."""
