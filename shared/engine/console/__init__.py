"""Progress, notes and plain text in the terminal."""
