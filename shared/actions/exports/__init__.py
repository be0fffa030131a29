"""Exports of a trained run: the file, its check, and what lies beside it."""
