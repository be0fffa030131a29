"""Verdicts about runs, in words."""
