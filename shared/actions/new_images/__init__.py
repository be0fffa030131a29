"""Answers of a run for images that it was not given before."""
