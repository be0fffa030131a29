"""The process of a framework, from the side that calls it."""
