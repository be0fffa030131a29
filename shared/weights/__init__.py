"""Canonical weights: where they start, what they say, other names for them."""
