"""Samples of time, taken in turn."""
