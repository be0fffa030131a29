"""The commands of `poc`, by what they are about; none imports NumPy before it needs to."""
