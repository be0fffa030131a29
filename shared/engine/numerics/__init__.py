"""Metrics, noise and statistics in NumPy."""
