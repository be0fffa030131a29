"""The row that a finished run leaves in the comparison table."""
