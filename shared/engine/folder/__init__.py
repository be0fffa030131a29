"""The folder of a run: its files, their atomic writes, and how a run resumes from them."""
