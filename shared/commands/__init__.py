"""The commands of `poc`, by subject; none imports NumPy before it needs it."""
