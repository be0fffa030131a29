"""Runtimes that open and time exported files, without a framework."""
