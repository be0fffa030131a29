"""Finished runs, read and grouped."""
