"""The table of methods, and what each declares."""
