"""Tables for the terminal and as text."""
