"""Pictures of a report: each is SVG with a table of its numbers."""
