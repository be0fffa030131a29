"""Reading and grouping of finished runs."""
