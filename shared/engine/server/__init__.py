"""The process of a framework, from inside: `python -m` this package."""
