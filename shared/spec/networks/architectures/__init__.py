"""Architectures, one module per family; `spec.networks.models` has their table."""
