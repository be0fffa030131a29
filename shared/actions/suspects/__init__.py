"""Suspicious images of a data set, and what the embedding of a run says about images."""
