"""Exports of a trained run: the file, its check, and its companions."""
