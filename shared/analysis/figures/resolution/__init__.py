"""Accuracy against the sizes of training and test images."""
