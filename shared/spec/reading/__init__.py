"""Readers of runs and sweeps: files, keys, names, stored forms."""
