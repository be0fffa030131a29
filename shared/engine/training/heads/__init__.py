"""Heads that are computed from features of frozen layers, without a gradient step."""
