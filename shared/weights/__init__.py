"""Canonical weights: their start, their headers, and other names for them."""
