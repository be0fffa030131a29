"""The ladder of rungs on which two backends are held against each other."""
