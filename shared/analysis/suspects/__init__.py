"""Suspicious images of a data set: near copies, likely wrong labels, outliers."""
