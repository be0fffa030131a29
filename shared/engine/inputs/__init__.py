"""A run with its data opened and what these fill in."""
