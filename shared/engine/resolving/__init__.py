"""Checks that refuse a run: before its data is opened, and after."""
