"""The decision of a study, from tables of its results."""
