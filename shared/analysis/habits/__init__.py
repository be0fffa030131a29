"""The analysis of an experiment over the habits: effects, tables, pictures and the page."""
