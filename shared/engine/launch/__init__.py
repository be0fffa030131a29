"""Starting runs and sweeps: what is refused first, and where they work."""
