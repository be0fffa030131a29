"""The report on runs: one page, Markdown and CSV."""
