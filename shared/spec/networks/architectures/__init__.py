"""Declared architectures, one module a family; `spec.models` is their table."""
