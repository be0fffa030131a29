"""Tables, on the terminal and as text."""
