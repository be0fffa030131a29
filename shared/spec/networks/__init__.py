"""Declared networks: nodes, layers, architectures."""
