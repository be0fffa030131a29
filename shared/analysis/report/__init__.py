"""The report on runs: one HTML page, Markdown and CSV."""
