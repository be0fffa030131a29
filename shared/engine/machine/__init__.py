"""Memory, processors and versions of the machine that works."""
