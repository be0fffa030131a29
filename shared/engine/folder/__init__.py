"""The folder of a run: what is written, kept whole and resumed from."""
