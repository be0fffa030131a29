"""A framework's process, seen from inside; started with `python -m` and this package."""
