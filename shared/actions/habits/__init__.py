"""The experiment over the habits: its plan, its cells and its files."""
