"""A framework's process, as seen by the command that calls it."""
