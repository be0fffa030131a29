"""The work of each command: start workers, compute, write files for the user."""
